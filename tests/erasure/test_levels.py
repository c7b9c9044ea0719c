"""With many runs each is judged at a stricter level: how many there were."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from app.erasure.levels import judged_runs
from app.keys.tables import Controller
from app.registry.tables import Model
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.working import Hand


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def count(runtime: Runtime, controller: UUID, now: datetime) -> int:
    with runtime.database.read() as session:
        return judged_runs(session, controller, now)


@pytest.fixture
def controller(runtime: Runtime, model: str) -> UUID:
    with runtime.database.read() as session:
        return session.scalars(select(Model.controller_id)).one()


def test_judged_runs_count_for_thirty_days_whatever_became_of_them(
    cases: Cases, hand: Hand, runtime: Runtime, controller: UUID
) -> None:
    cases.submit("ada")
    fence = hand.must_claim(soon())
    assert count(runtime, controller, soon()) == 0  # running: not judged yet
    hand.publish(fence, soon())
    cases.submit("ben")
    hand.reject(hand.must_claim(soon()), soon())

    assert count(runtime, controller, soon()) == 2
    assert count(runtime, controller, soon() + timedelta(days=29)) == 2
    assert count(runtime, controller, soon() + timedelta(days=31)) == 0


def test_other_controllers_runs_do_not_count(
    cases: Cases, hand: Hand, runtime: Runtime, controller: UUID
) -> None:
    cases.submit("ada")
    hand.publish(hand.must_claim(soon()), soon())
    with runtime.database.write() as session:
        other = Controller(name="other", created_at=soon())
        session.add(other)
        session.flush()
        assert judged_runs(session, other.id, soon()) == 0
