"""What a supervisor makes of its runner's end, and when it claims nothing."""

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import clock
from app.erasure import leases
from app.erasure.tables import ErrorClass, Run
from app.erasure.worker_tables import Worker, WorkerRole
from app.keyring import Keyring
from app.runtime import Runtime
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.erasure.working import Hand
from workers import heartbeat, roster, supervisor
from workers.heartbeat import EXIT_HANGS, Heartbeat
from workers.supervisor import MEMORY_EVENTS, Held, Supervisor, memory_kills


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
    assert worker.next_work(soon()) is None
    monkeypatch.setattr(clock, "MOST_SKEW", timedelta(seconds=20))
    held = worker.next_work(soon())
    assert held is not None
    held.process.kill()


@pytest.mark.usefixtures("waiting", "sleeper")
def test_a_runner_that_keeps_its_lease_is_left_alone_and_one_that_lost_it_is_killed(
    runtime: Runtime,
) -> None:
    worker = hired(runtime)
    now = soon()
    held = worker.next_work(now)
    assert held is not None
    lease = timedelta(seconds=runtime.settings.lease_seconds)
    assert not held.ended(now)
    Hand.hire(runtime, now).sweep(now + 2 * lease)  # taken back, as after a long silence
    later = now + 2 * lease
    assert not held.ended(later)  # it may be about to end by itself
    assert held.process.poll() is None
    assert held.ended(later + lease)
    assert held.process.poll() is not None


@pytest.mark.usefixtures("waiting", "sleeper")
def test_a_runner_whose_run_has_ended_is_given_longer_to_exit_and_that_is_no_error(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="lotus.worker")
    worker = hired(runtime)
    now = soon()
    held = worker.next_work(now)
    assert held is not None
    Hand.hire(runtime, now).publish(held.claim.fence, now)
    lease = timedelta(seconds=runtime.settings.lease_seconds)
    longest = max(lease / 2, supervisor.LONGEST_EXIT)
    later = now + lease
    assert not held.ended(later)
    assert not held.ended(later + longest - supervisor.LONGEST_BETWEEN_LOOKS)
    assert held.process.poll() is None
    assert held.ended(later + longest)
    assert held.process.poll() is not None
    told = [record for record in caplog.records if "process" in record.message]
    assert [(one.levelname, one.message) for one in told] == [
        ("INFO", "process of ended work did not exit, and is killed")
    ]


@pytest.mark.usefixtures("waiting")
def test_a_run_whose_process_cannot_be_started_waits_and_has_no_crash(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(supervisor, "start", refuse)
    with pytest.raises(BlockingIOError):
        hired(runtime).next_work(soon())
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
    held = object.__new__(Held)
    held._kills = 7
    monkeypatch.setattr(supervisor, "memory_kills", lambda: 7 + kills)
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


def test_kills_for_memory_are_read_where_the_kernel_counts_them(tmp_path: Path) -> None:
    group, machine = tmp_path / "memory.events", tmp_path / "vmstat"
    assert memory_kills([group, machine]) == 0
    machine.write_text("nr_free_pages 12\noom_kill 4\nthp_fault_alloc 1\n")
    assert memory_kills([group, machine]) == 4
    group.write_text("low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert memory_kills([group, machine]) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux counts")
def test_this_kernel_counts_kills_for_memory() -> None:
    lines = [path.read_text().split("\n") for path in MEMORY_EVENTS if path.exists()]
    assert any(line.startswith("oom_kill ") for source in lines for line in source)


@pytest.mark.usefixtures("sleeper")
def test_a_model_that_cannot_be_claimed_is_set_aside_and_the_next_one_is_taken(
    api: TestClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(ada=4))
        broken = add_model(session, dataset, name="broken").id
        sound = add_model(session, dataset, name="sound").id
    assert api.post("/api/v1/erasure-requests", json=submission("ada")).status_code == 202
    claim = leases.claim

    def claim_all_but_one(
        session: Session, keyring: Keyring, worker: UUID, model: UUID, **named: Any
    ) -> Any:
        if model == broken:
            raise LookupError("rows that newer code wrote")
        return claim(session, keyring, worker, model, **named)

    monkeypatch.setattr(leases, "claim", claim_all_but_one)
    worker, now = hired(runtime), soon()
    held = worker.next_work(now)
    assert held is not None and held.claim.model_id == sound
    held.process.kill()
    assert worker.set_aside.keys() == {("run", broken)}
    monkeypatch.undo()
    assert worker.next_work(now) is None  # still aside
    monkeypatch.setattr(supervisor, "start", lambda *_, **__: held.process)
    again = worker.next_work(now + supervisor.SET_ASIDE)
    assert again is not None and again.claim.model_id == broken


@pytest.mark.usefixtures("waiting", "sleeper")
def test_the_lease_of_a_runner_that_is_still_loading_is_renewed_for_it_but_not_for_ever(
    runtime: Runtime,
) -> None:
    worker, now = hired(runtime), soon()
    held = worker.next_work(now)
    assert held is not None
    lease = timedelta(seconds=runtime.settings.lease_seconds)

    def until() -> datetime:
        with runtime.database.read() as session:
            found = session.scalars(select(Run.lease_until)).one()
        assert found is not None
        return found

    before = until()
    later = before - lease / 4
    assert not held.ended(later)
    assert until() == later + lease
    held._claimed_at -= supervisor.LONGEST_START
    assert not held.ended(until() - lease / 4)
    assert until() == later + lease
    held.process.kill()


def test_the_end_of_a_run_is_written_although_the_database_was_away(
    waiting: None, sleeper: None, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, now = hired(runtime), soon()
    held = worker.next_work(now)
    assert held is not None
    give_back, tries = leases.give_back, []

    def away_at_first(*arguments: Any, **named: Any) -> Any:
        tries.append(None)
        if len(tries) == 1:
            raise OperationalError("COMMIT", None, ConnectionError())
        return give_back(*arguments, **named)

    monkeypatch.setattr(leases, "give_back", away_at_first)
    held.process.kill()
    held.process.wait()
    assert held.ended(now)
    assert len(tries) == 2
    with runtime.database.read() as session:
        run = session.scalars(select(Run)).one()
    assert (run.state, run.crashes) == ("queued", 1)


@pytest.mark.usefixtures("waiting", "sleeper")
def test_who_looks_at_the_workers_sees_the_run(runtime: Runtime) -> None:
    worker = hired(runtime)
    held = worker.next_work(soon())
    assert held is not None
    with runtime.database.read() as session:
        assert session.scalars(select(Worker.current_run_id)).one() == held.claim.fence.run_id
    held.process.kill()
    worker.let_go()
    with runtime.database.read() as session:
        assert session.scalars(select(Worker.current_run_id)).one() is None
