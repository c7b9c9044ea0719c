import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app import bell
from app.erasure import leases
from app.erasure.locks import Fence, LeaseLost
from app.erasure.states import RunState
from app.erasure.tables import ErrorClass, Run
from app.runtime import Runtime
from app.storage import MissingArtifact
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.erasure.working import Hand
from workers import failures
from workers.heartbeat import EXIT_LEASE_LOST, Heartbeat
from workers.unlearning.errors import EmptyForgetSet


@pytest.fixture
def fence(api: TestClient, runtime: Runtime) -> Fence:
    """A run that a worker has just claimed."""
    with runtime.database.write() as session:
        add_model(session, add_dataset(runtime, session, people(ada=4)))
    assert api.post("/api/v1/erasure-requests", json=submission("ada")).status_code == 202
    now = datetime.now(UTC) + timedelta(seconds=1)
    return Hand.hire(runtime, now).must_claim(now)


def run_of(runtime: Runtime) -> Run:
    with runtime.database.read() as session:
        return session.scalars(select(Run)).one()


def quick(runtime: Runtime) -> Runtime:
    """The same database with a lease of two seconds, and so a beat every half."""
    settings = runtime.settings.model_copy(update={"lease_seconds": 2.0})
    return Runtime(settings, runtime.database, runtime.artifacts, runtime.keyring)


def test_a_heartbeat_moves_the_end_of_the_lease(runtime: Runtime, fence: Fence) -> None:
    nearly_over = datetime.now(UTC) + timedelta(seconds=1)
    with runtime.database.write() as session:
        leases.write(session, fence, lease_until=nearly_over)
    with Heartbeat(quick(runtime), fence, end=lambda code: None):
        threading.Event().wait(1.5)
    moved = run_of(runtime).lease_until
    assert moved is not None and moved > nearly_over


def test_who_lost_the_lease_ends_at_once(runtime: Runtime, fence: Fence) -> None:
    ended = threading.Event()
    codes: list[int] = []
    stale = Fence(fence.run_id, fence.attempt + 1)
    with Heartbeat(quick(runtime), stale, end=lambda code: (codes.append(code), ended.set())):
        assert ended.wait(5)
    assert codes == [EXIT_LEASE_LOST]


@pytest.mark.parametrize(
    ("error", "state", "named", "told"),
    [
        (EmptyForgetSet("a run"), RunState.FAILED, ErrorClass.NUMERICAL, "0 samples"),
        (MissingArtifact("0" * 64), RunState.FAILED, ErrorClass.MISSING_DATA, ""),
        (MemoryError("secret"), RunState.QUEUED, ErrorClass.OUT_OF_MEMORY, "MemoryError"),
        (OSError(28, "secret"), RunState.QUEUED, ErrorClass.STORAGE, "OSError"),
        (KeyError("secret"), RunState.QUEUED, ErrorClass.INTERNAL, "KeyError"),
    ],
)
def test_an_error_is_named_by_its_class_and_only_our_own_text_is_told(
    runtime: Runtime,
    fence: Fence,
    error: Exception,
    state: RunState,
    named: ErrorClass,
    told: str,
) -> None:
    assert failures.report(runtime, fence, error, now=datetime.now(UTC)) is state
    run = run_of(runtime)
    assert (run.state, run.error_class) == (state, named)
    assert run.error_detail is not None and told in run.error_detail
    assert "secret" not in run.error_detail


def test_an_error_after_the_lease_was_lost_changes_nothing(runtime: Runtime, fence: Fence) -> None:
    stale = Fence(fence.run_id, fence.attempt + 1)
    with pytest.raises(LeaseLost):
        failures.report(runtime, stale, KeyError("x"), now=datetime.now(UTC))
    assert run_of(runtime).state is RunState.RUNNING


def test_a_bell_that_nobody_hears_fails_nothing(runtime: Runtime) -> None:
    bell.ring(runtime.settings)  # there is no FIFO
    runtime.settings.bell_path.mkdir()
    bell.ring(runtime.settings)  # nor can there be one
    runtime.settings.bell_path.rmdir()
    os.mkfifo(runtime.settings.bell_path)
    bell.ring(runtime.settings)  # nobody has it open


def test_a_ring_reaches_who_listens(runtime: Runtime) -> None:
    path = runtime.settings.bell_path
    os.mkfifo(path)
    listening = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        bell.ring(runtime.settings)
        bell.ring(runtime.settings)
        assert os.read(listening, 10) == b"!!"
    finally:
        os.close(listening)


def test_an_orphan_does_not_begin() -> None:
    """Its parent ended before it looked: it has another parent now, and must not take it for the
    right one."""
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "from workers.parent import end_with_parent\nend_with_parent()\nprint('began')",
        ],
        env={**os.environ, "LOTUS_PARENT_PID": "1"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert b"began" not in ended.stdout
