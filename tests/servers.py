"""PostgreSQL and Redis for a session of tests: those that a variable names, else started here from
installed programs in a temporary folder, else none, and what needs them is skipped."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

START_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1
# Nothing of these servers is kept, so no commit needs to wait for the disk.
_FOR_SPEED = {
    "synchronous_commit": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "128MB",  # the folder may be in memory
    "max_connections": "200",
}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a server on which the tests may create databases."""
    named = os.environ.get("LOTUS_TEST_DATABASE_URL")
    if named:
        yield named
        return
    programs = postgresql_programs()
    if programs is None:
        missing("PostgreSQL", "postgresql", "LOTUS_TEST_DATABASE_URL")
    with folder_for("lotus-postgresql-") as folder, _started_postgresql(programs, folder) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a Redis. One that a variable names is somebody's own: never flush or restart it."""
    named = os.environ.get("LOTUS_TEST_REDIS_URL")
    if named:
        yield named
        return
    program = shutil.which("redis-server")
    if program is None:
        missing("Redis", "redis-server", "LOTUS_TEST_REDIS_URL")
    with folder_for("lotus-redis-") as folder, started_redis(program, folder) as url:
        yield url


@contextmanager
def started_redis(program: str, folder: Path, port: int = 0) -> Iterator[str]:
    """A Redis that keeps nothing, on `port` or, for 0, on a free one."""
    port = port or free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
    log = folder / "log"
    with _process(command, log, on_parents_end(signal.SIGKILL), signal.SIGTERM) as process:
        _wait_for(process, log, lambda: answers_ping(port))
        yield f"redis://127.0.0.1:{port}/0"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number: int = taken.getsockname()[1]
    return number


def missing(name: str, package: str, variable: str) -> NoReturn:
    """A skip, or a failure where somebody said that the servers must be there."""
    why = (
        f"{name} was not found: install it (Debian: apt-get install {package}), "
        f"or name a server in {variable}"
    )
    if os.environ.get("LOTUS_TEST_REQUIRE_SERVERS"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def postgresql_programs() -> Path | None:
    """The folder of `initdb` and `postgres`, which Debian keeps out of the PATH."""
    on_path = [Path(folder) for folder in os.get_exec_path()]
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    newest_first = sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True)
    for folder in [*on_path, *newest_first]:
        if all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
            return folder
    return None


@contextmanager
def _started_postgresql(programs: Path, folder: Path) -> Iterator[str]:
    create_cluster(programs, folder)
    # At its end nothing is kept, so it need not write down what it still holds.
    with running_cluster(programs, folder, _FOR_SPEED, end=signal.SIGQUIT) as url:
        yield url


def create_cluster(programs: Path, folder: Path) -> None:
    identity = _not_root(folder)
    initdb: list[str | Path] = [
        programs / "initdb",
        "--pgdata",
        folder / "data",
        "--username",
        "lotus",
        "--auth",
        "trust",
    ]
    subprocess.run(
        [*initdb, "--encoding", "UTF8", "--locale", "C", "--no-sync"],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        timeout=START_SECONDS,
        **identity,
    )


@contextmanager
def running_cluster(
    programs: Path, folder: Path, chosen: Mapping[str, str], *, end: signal.Signals
) -> Iterator[str]:
    """A server of the cluster, which listens on a socket in `folder` and on no port.

    `end`: SIGINT disconnects everybody and shuts down in order; SIGQUIT drops everything, and the
    next start recovers as after a crash.
    """
    identity = _not_root(folder)
    data = folder / "data"
    settings = {**chosen, "listen_addresses": "", "unix_socket_directories": str(folder)}
    command = [str(programs / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    url = URL.create(
        "postgresql+psycopg", "lotus", database="postgres", query={"host": str(folder)}
    )
    kwargs = {**identity, **on_parents_end(signal.SIGQUIT)}
    log = folder / "log"
    with _process(command, log, kwargs, end) as process:
        _wait_for(process, log, lambda: _accepts_connections(url))
        yield url.render_as_string(hide_password=False)


def _not_root(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: as root it becomes another user, who gets the folder."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def folder_for(prefix: str) -> Iterator[Path]:
    """Directly under the temporary folder: the path of a socket may have 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def _process(
    command: list[str], log: Path, kwargs: dict[str, Any], end: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    """Ended with the block. In a session of its own: a Ctrl-C at the terminal is for the tests,
    which end it once they are done."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **kwargs,
        )
    try:
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def on_parents_end(number: signal.Signals) -> dict[str, Any]:
    """On Linux the kernel ends a server whose tests were killed before they could."""
    if sys.platform != "linux":
        return {}
    libc = ctypes.CDLL(None)
    return {"preexec_fn": lambda: libc.prctl(_PR_SET_PDEATHSIG, number)}


def _wait_for(process: subprocess.Popen[bytes], log: Path, answers: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if answers():
            return
        time.sleep(0.05)
    pytest.fail(f"{process.args!r} did not start:\n{log.read_text()}", pytrace=False)


def _accepts_connections(url: URL) -> bool:
    engine = create_engine(url)
    try:
        engine.connect().close()
    except OperationalError:
        return False
    finally:
        engine.dispose()
    return True


def answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False
