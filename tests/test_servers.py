"""What the tests themselves stand on: servers that are found, started, and ended."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests import servers

ROOT = Path(__file__).parents[1]


def test_a_named_or_a_started_postgresql_takes_new_databases(postgresql: str) -> None:
    engine = create_engine(postgresql)
    with engine.connect() as connection:
        may = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
        assert connection.scalar(text(may)) is True
    engine.dispose()


def test_a_named_or_a_started_redis_answers(redis_url: str) -> None:
    assert redis_url.startswith("redis://")
    address = redis_url.removeprefix("redis://").split("/")[0].rpartition("@")[2]
    assert servers.answers_ping(int(address.partition(":")[2] or 6379))


@pytest.mark.parametrize(
    ("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_a_server_that_is_nowhere_is_a_plain_skip_unless_it_is_required(
    monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("LOTUS_TEST_REQUIRE_SERVERS", required)
    with pytest.raises(outcome, match=r"PostgreSQL was not found: .* apt-get install postgresql"):
        servers.missing("PostgreSQL", "postgresql", "LOTUS_TEST_DATABASE_URL")


STOPPED = """
import os, time

def test_waits(postgresql, redis_url):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_servers_that_the_tests_started_end_with_them(
    postgresql: str, redis_url: str, how: signal.Signals
) -> None:
    named = ("LOTUS_TEST_DATABASE_URL", "LOTUS_TEST_REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if name not in named}
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
        (folder / "conftest.py").write_text("from tests.servers import postgresql, redis_url\n")
        (folder / "test_stopped.py").write_text(STOPPED)
        tests = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", name],
            cwd=ROOT,
            env={**kept, "PYTHONPATH": str(ROOT), "TMPDIR": name},
            stdout=subprocess.PIPE,
            text=True,
        )
        said = _until_ready(tests)
        assert len(_working_in(folder)) > 2, said  # PostgreSQL has processes of its own
        tests.send_signal(how)
        tests.communicate(timeout=30)
        end = time.monotonic() + 10
        while _working_in(folder):
            assert time.monotonic() < end, "servers outlived the tests that started them"
            time.sleep(0.05)


def _until_ready(tests: subprocess.Popen[str]) -> str:
    assert tests.stdout is not None
    said = ""
    for line in tests.stdout:
        said += line
        if "ready" in line:
            break
    return said


def _working_in(folder: Path) -> set[int]:
    """Servers work in the folder that was made for them."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.add(int(process.name))
        except OSError:
            continue
    return found
