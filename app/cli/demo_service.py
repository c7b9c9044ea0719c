"""A service of its own for the demo: a temporary data folder, a key, a free port, a log."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from app.cli.output import Failure

LOTUS = [sys.executable, "-m", "app.cli"]
# What a user's environment may say about the machine; all else would point at another service.
KEPT_SETTINGS = ("LOTUS_DEVICE", "LOTUS_TORCH_THREADS", "LOTUS_LOG_LEVEL")
SCOPES = "registry:write,registry:read,requests:write,requests:read,artifacts:read,audit:read"
STOP_SECONDS = 40.0
TAIL_LINES = 25
# One such line for every call: they would push out what went wrong.
ANSWERED = '"level": "info", "logger": "lotus.http"'


class DemoService:
    """Everything that was started has ended, and the folder is gone, when the block is left."""

    def __init__(self, root: Path) -> None:
        self.url = ""
        self.key = ""
        self._root = root
        self._folder = tempfile.TemporaryDirectory(prefix="lotus-demo-")
        self.folder = Path(self._folder.name)
        self._log = self.folder / "service.log"
        (self.folder / "tmp").mkdir()
        self._children: list[subprocess.Popen[str]] = []
        self._signals: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._signals[number] = signal.signal(number, _leave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in self._children:
            _end(child)
        for number, before in self._signals.items():
            signal.signal(number, before)
        self._folder.cleanup()

    def start(self) -> None:
        """Makes the key and starts the service, which needs some seconds until it listens."""
        made = self.child(
            [*LOTUS, "keys", "create", "--name", "demo", "--scopes", SCOPES, "--json"]
        )
        output, _ = made.communicate()
        if made.returncode != 0:
            raise Failure("no key could be made")
        self.key = json.loads(output)["key"]
        self._service = self.child([*LOTUS, "serve", "--port", "0", "--json"])

    def wait_until_listening(self) -> None:
        assert self._service.stdout is not None
        lines = []
        for line in self._service.stdout:
            lines.append(line)
            if line.startswith("}"):
                self.url = json.loads("".join(lines))["url"]
                return
        raise Failure("the service did not start")

    def require_running(self) -> None:
        if self._service.poll() is not None:
            raise Failure("the service ended by itself")

    def wait_for_end(self) -> None:
        self._service.wait()

    def child(self, command: list[str]) -> subprocess.Popen[str]:
        """A process of the demo; its errors go to the log, its output to the caller."""
        with self._log.open("a") as log:
            started = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
                env=self._environment(),
                # Ctrl-C is for the demo, which then ends its children in order.
                start_new_session=True,
            )
        self._children.append(started)
        return started

    def log_tail(self) -> str:
        try:
            lines = self._log.read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        told = [line for line in lines if ANSWERED not in line]
        return "\n".join(told[-TAIL_LINES:])

    def _environment(self) -> Mapping[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("LOTUS_") or name in KEPT_SETTINGS
        }
        path = [str(self._root), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            # The demo's network is so small that a second thread costs more than it saves.
            "LOTUS_TORCH_THREADS": "1",
            **kept,
            "LOTUS_DATA_DIR": str(self.folder / "data"),
            "TMPDIR": str(self.folder / "tmp"),  # so that caches of libraries go with the rest
            "PYTHONPATH": os.pathsep.join(path),
        }


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _end(child: subprocess.Popen[str]) -> None:
    """Asks it to end, then ends whatever it has left behind in its own process group."""
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()
