"""`lotus serve` on a single machine needs nothing but a folder."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from app.cli import serve as serving
from app.config import Settings
from app.runtime import Runtime
from tests.cli.conftest import Result, Served
from tests.erasure.factories import add_dataset, add_model, people, submission

Lotus = Callable[..., Result]
Serve = Callable[[], Served]


def worker_processes(session: int) -> list[int]:
    """Processes of this session whose program is the worker loop."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) != session:
                continue
            if b"workers.local" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (ProcessLookupError, FileNotFoundError):
            continue
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_the_first_start_shows_a_key_that_works_and_later_starts_show_none(serve: Serve) -> None:
    first = serve()
    headers = {"Authorization": f"Bearer {first.said['key']}"}
    assert httpx2.get(f"{first.said['url']}/livez").status_code == 200
    assert httpx2.get(f"{first.said['url']}/api/v1/models").status_code == 401
    listed = httpx2.get(f"{first.said['url']}/api/v1/models", headers=headers)
    assert listed.json() == {"items": [], "next_cursor": None}
    first.end()
    assert serve().said["key"] is None


def test_a_head_without_an_end_is_given_up_by_the_service_too(serve: Serve) -> None:
    url = urlsplit(serve().said["url"])
    with socket.create_connection((str(url.hostname), int(url.port or 0)), 20) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nX: ")
        with suppress(OSError):  # it may be closed before all is sent
            connection.sendall(b"a" * 4_000_000)
        with suppress(ConnectionError):
            assert connection.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_the_service_ends_with_its_worker_when_it_is_told_to(
    serve: Serve, how: signal.Signals
) -> None:
    served = serve()
    wait_for(lambda: bool(worker_processes(served.process.pid)))
    assert served.end(how) == 0
    wait_for(lambda: not worker_processes(served.process.pid))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_a_worker_that_crashes_is_started_again(serve: Serve) -> None:
    served = serve()
    wait_for(lambda: bool(worker_processes(served.process.pid)))
    [first] = worker_processes(served.process.pid)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: worker_processes(served.process.pid) not in ([], [first]))
    wait_for(lambda: "worker loop started" in served.log.read_text())
    served.end()
    lines = [json.loads(line) for line in served.log.read_text().splitlines()]
    assert "the worker loop ended" in [line["message"] for line in lines]


def test_the_api_alone_says_that_pytorch_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(serving.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(serving.subprocess, "Popen", None)
    with serving.worker_beside(Settings(data_dir=tmp_path)):
        pass
    assert "PyTorch is not installed" in caplog.text


def test_a_port_in_use_is_one_clear_line(lotus: Lotus) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = lotus("serve", "--port", str(port))
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith(f"error: cannot listen on 127.0.0.1:{port}")
    assert "Traceback" not in result.err


def test_the_service_stops_while_somebody_follows_a_request(serve: Serve, tmp_path: Path) -> None:
    """A stream would go on for an hour, and calls in progress are waited for."""
    served = serve()
    runtime = Runtime.open(Settings(data_dir=tmp_path / "data"))
    with runtime.database.write() as session:
        add_model(session, add_dataset(runtime, session, people(ada=1)))
    runtime.close()
    headers = {"Authorization": f"Bearer {served.said['key']}"}
    with httpx2.Client(base_url=served.said["url"], headers=headers, timeout=60) as client:
        request = client.post("/api/v1/erasure-requests", json=submission("ada")).json()["id"]
        client.post(f"/api/v1/erasure-requests/{request}/hold", json={"reason": "legal_hold"})
        with client.stream("GET", f"/api/v1/erasure-requests/{request}/events") as stream:
            lines = stream.iter_lines()
            while not next(lines).startswith("data:"):
                pass
            served.process.send_signal(signal.SIGTERM)
            assert "event: end" not in list(lines)
    assert served.end() == 0
