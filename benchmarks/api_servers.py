"""Servers for `benchmarks.api`: each its own process, as `lotus serve` runs one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.config import Settings

START_SECONDS = 60.0
PAGE = os.sysconf("SC_PAGE_SIZE")
MEGABYTE = 1_000_000


class Server:
    """`ready_seconds`: from the start of the process to its first answer."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, ready_seconds: float) -> None:
        self.process, self.port, self.ready_seconds = process, port, ready_seconds

    @property
    def resident_mb(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * PAGE / MEGABYTE


def environment(settings: Settings) -> dict[str, str]:
    """What makes another process read the same settings; no limit on how often one key calls."""
    given = {
        f"LOTUS_{name.upper()}": str(value)
        for name, value in settings.model_dump(exclude_none=True).items()
    }
    return given | {"LOTUS_RATE_LIMIT": "", "LOTUS_LOG_LEVEL": "warning"}


@contextmanager
def serving(factory: str, variables: Mapping[str, str]) -> Iterator[Server]:
    """`factory`: `module:function` of the application. Ends the process at the end."""
    port = _free_port()
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"]
    command = [sys.executable, "-m", "uvicorn", "--factory", factory, "--port", str(port), *options]
    others = {name: v for name, v in os.environ.items() if not name.startswith("LOTUS_")}
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, env={**others, **variables}, stderr=said)
        try:
            _wait(process, port, started + START_SECONDS)
            yield Server(process, port, time.perf_counter() - started)
        except BaseException:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace")[-2000:])
            raise
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], port: int, until: float) -> None:
    while time.perf_counter() < until:
        if process.poll() is not None:
            raise SystemExit("the server ended before it answered")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.01)
    raise SystemExit("the server did not answer in time")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
