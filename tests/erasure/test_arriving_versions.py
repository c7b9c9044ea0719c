"""A version trained elsewhere becomes ready at the very moment in which a run publishes."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.db import Database
from app.erasure import arrivals
from app.erasure.states import RunState
from app.ids import model_id, new_id
from app.registry import checks
from app.registry.checks import VersionCheck
from app.registry.tables import Model, ModelVersion, VersionState
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_artifact
from tests.erasure.working import LEASE, Hand


@pytest.fixture
def offered(cases: Cases, runtime: Runtime, now: datetime) -> VersionCheck:
    """Version 2, uploaded, and taken by a worker that has found it good."""
    with runtime.database.write() as session:
        identity = new_id()
        session.add(
            ModelVersion(
                id=identity,
                model_id=session.scalars(select(Model.id)).one(),
                number=2,
                lineage_id=identity,
                artifact_sha256=add_artifact(session, "trained elsewhere"),
                state=VersionState.CHECKING,
                created_at=now,
            )
        )
    with runtime.database.write() as session:
        check = checks.take_version(session, now=now, lease=LEASE)
    assert check is not None
    return check


def arrive(session: Session, runtime: Runtime, check: VersionCheck, now: datetime) -> None:
    version = checks.end_version_ready(session, check, now=now)
    arrivals.version_ready(session, runtime.keyring, version, now=now)


def while_open(
    database: Database, first: Callable[[Session], Any], second: Callable[[], Any]
) -> Any:
    """Does `second` in another thread while the transaction of `first` is open; its result."""
    with ThreadPoolExecutor(1) as pool:
        with database.write() as session:
            first(session)
            started = threading.Event()
            result: Future[Any] = pool.submit(lambda: (started.set(), second())[1])
            assert started.wait(10)
            wait_for_the_second(database, result)
            assert not result.done()
        return result.result(30)


def wait_for_the_second(database: Database, result: Future[Any]) -> None:
    if database.is_sqlite:
        time.sleep(0.2)  # it waits for its turn from its first statement
        return
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    for _ in range(200):
        with database.read() as session:
            if session.scalar(waiting) or result.done():
                return
        time.sleep(0.05)
    raise AssertionError("nobody waits")


def test_a_publication_waits_for_it_and_starts_again_on_it(
    cases: Cases, hand: Hand, runtime: Runtime, offered: VersionCheck, now: datetime
) -> None:
    request = cases.submit("ada")
    later = datetime.now(now.tzinfo)
    fence = hand.must_claim(later)
    ended = while_open(
        runtime.database,
        lambda session: arrive(session, runtime, offered, later),
        lambda: hand.publish(fence, later),
    )
    assert ended is RunState.SUPERSEDED
    assert cases.state(request) == "scheduled"
    assert hand.publish(hand.must_claim(later), later) is RunState.SUCCEEDED
    assert cases.state(request) == "completed"


def test_it_waits_for_a_publication_and_opens_the_case_again(
    cases: Cases, hand: Hand, runtime: Runtime, offered: VersionCheck, now: datetime
) -> None:
    request = cases.submit("ada")
    later = datetime.now(now.tzinfo)
    fence = hand.must_claim(later)
    hand.move(fence, RunState.VERIFYING, later)
    hand.move(fence, RunState.PUBLISHING, later)

    def second() -> None:
        with runtime.database.write() as session:
            arrive(session, runtime, offered, later)

    while_open(runtime.database, lambda session: hand.publish_in(session, fence, later), second)
    assert cases.state(request) == "scheduled"
    current = cases.api.get(f"/api/v1/models/{model_id(offered.model.id)}").json()
    assert current["current_version"]["number"] == 2
