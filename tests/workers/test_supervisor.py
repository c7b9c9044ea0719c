"""What a supervisor makes of its runner's end, and when it claims nothing."""

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app import clock
from app.erasure.tables import ErrorClass, Run
from app.erasure.worker_tables import WorkerRole
from app.runtime import Runtime
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.erasure.working import Hand
from workers import heartbeat, roster, supervisor
from workers.heartbeat import EXIT_HANGS, Heartbeat
from workers.supervisor import HeldRun, Supervisor


@pytest.fixture
def waiting(api: TestClient, runtime: Runtime) -> None:
    """A request that waits for a run."""
    with runtime.database.write() as session:
        add_model(session, add_dataset(runtime, session, people(ada=4)))
    assert api.post("/api/v1/erasure-requests", json=submission("ada")).status_code == 202


def hired(runtime: Runtime) -> Supervisor:
    return Supervisor(runtime, roster.register(runtime, WorkerRole.GPU, "cpu"))


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


@pytest.fixture
def sleeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of a runner, a process that does nothing for as long as it is left alone."""

    def start(*_: object, **__: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    monkeypatch.setattr(supervisor, "start", start)


@pytest.mark.usefixtures("waiting", "sleeper")
def test_a_worker_whose_clock_is_off_claims_nothing(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = hired(runtime)
    monkeypatch.setattr(clock, "MOST_SKEW", timedelta(seconds=-1))  # now every clock is off
    assert worker.next_run(soon()) is None
    monkeypatch.undo()


@pytest.mark.usefixtures("waiting", "sleeper")
def test_a_runner_that_keeps_its_lease_is_left_alone_and_one_that_lost_it_is_killed(
    runtime: Runtime,
) -> None:
    worker = hired(runtime)
    now = soon()
    held = worker.next_run(now)
    assert held is not None
    lease = timedelta(seconds=runtime.settings.lease_seconds)
    assert not held.ended(now)
    Hand.hire(runtime, now).sweep(now + 2 * lease)  # taken back, as after a long silence
    later = now + 2 * lease
    assert not held.ended(later)  # it may be about to end by itself
    assert held.process.poll() is None
    assert held.ended(later + lease)
    assert held.process.poll() is not None


@pytest.mark.usefixtures("waiting")
def test_a_run_whose_process_cannot_be_started_waits_and_has_no_crash(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(supervisor, "start", refuse)
    with pytest.raises(BlockingIOError):
        hired(runtime).next_run(soon())
    with runtime.database.read() as session:
        run = session.scalars(select(Run)).one()
    assert (run.state, run.crashes, run.lease_until) == ("queued", 0, None)


@pytest.mark.parametrize(
    ("code", "kills", "error_class", "says"),
    [
        (3, 0, ErrorClass.CRASHED, "code 3"),
        (-11, 0, ErrorClass.CRASHED, "SIGSEGV"),
        (-9, 0, ErrorClass.CRASHED, "SIGKILL"),
        (-9, 1, ErrorClass.OUT_OF_MEMORY, "ran out of memory"),
        (-15, 1, ErrorClass.CRASHED, "SIGTERM"),
    ],
)
def test_an_end_is_told_by_its_signal_and_by_what_the_kernel_counted(
    monkeypatch: pytest.MonkeyPatch, code: int, kills: int, error_class: ErrorClass, says: str
) -> None:
    held = object.__new__(HeldRun)
    held._kills = 7
    monkeypatch.setattr(supervisor, "_memory_kills", lambda: 7 + kills)
    found, detail = held._meaning(code)
    assert found is error_class and says in detail


@pytest.mark.usefixtures("waiting")
def test_a_run_that_shows_no_progress_for_too_long_ends_itself(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = soon()
    fence = Hand.hire(runtime, now).must_claim(now)
    quick = Runtime(
        runtime.settings.model_copy(update={"lease_seconds": 2.0}),
        runtime.database,
        runtime.artifacts,
        runtime.keyring,
    )
    monkeypatch.setattr(heartbeat, "LONGEST_STANDSTILL", timedelta(seconds=1))
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    with Heartbeat(quick, fence, end=end) as beating:
        for _ in range(8):  # two seconds in which it gets on
            threading.Event().wait(0.25)
            beating.moved()
        assert codes == []
        assert ended.wait(10)
    assert codes == [EXIT_HANGS]
