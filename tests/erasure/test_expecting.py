"""When a request will have been carried out: worked out by hand, and as a caller sees it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from app.erasure import forecasting
from app.erasure.expecting import NOTHING, Work, forecast
from app.erasure.tables import Run
from app.erasure.worker_tables import Worker
from app.registry.tables import Model
from app.restore.tables import PauseReason, ServiceState
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_dataset, add_model, people
from tests.erasure.working import Hand

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
A, B, C = (UUID(int=n) for n in (1, 2, 3))


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def waiting(model: UUID, length: float | None, **when: datetime) -> Work:
    return Work(model, model, None if length is None else minutes(length), **when)


def test_one_worker_takes_one_run_after_the_other() -> None:
    going_on = Work("run", A, minutes(10), started_at=NOW - minutes(4))
    seen = forecast([going_on, waiting(B, 5), waiting(C, 20)], 1, NOW)
    assert seen.ends == {
        "run": NOW + minutes(6),
        B: NOW + minutes(6 + 5),
        C: NOW + minutes(6 + 5 + 20),
    }
    # Whatever comes now begins after all of them.
    assert seen.end_of_next(UUID(int=9), minutes(2), NOW) == NOW + minutes(31 + 2)


def test_two_workers_share_the_queue_in_its_order() -> None:
    seen = forecast([waiting(A, 10), waiting(B, 4), waiting(C, 5)], 2, NOW)
    assert seen.ends == {A: NOW + minutes(10), B: NOW + minutes(4), C: NOW + minutes(4 + 5)}
    # The second worker is free after 9 minutes; but A's next run waits for A's own, until 10.
    assert seen.end_of_next(A, minutes(1), NOW) == NOW + minutes(11)
    assert seen.end_of_next(B, minutes(1), NOW) == NOW + minutes(10)
    # Nor does anybody take it before it has waited for company.
    assert seen.end_of_next(B, minutes(1), NOW + minutes(30)) == NOW + minutes(31)


def test_a_model_has_one_run_at_a_time_whatever_workers_are_free() -> None:
    going_on = Work("run", A, minutes(10), started_at=NOW)
    seen = forecast([going_on, waiting(A, 10)], 4, NOW)
    assert seen.ends[A] == NOW + minutes(20)


def test_a_run_that_takes_longer_than_usual_is_expected_at_once() -> None:
    seen = forecast([Work("run", A, minutes(10), started_at=NOW - minutes(30))], 1, NOW)
    assert seen.ends["run"] == NOW


def test_what_must_wait_begins_then() -> None:
    seen = forecast([waiting(A, 10, ready_at=NOW + minutes(60))], 1, NOW)
    assert seen.ends[A] == NOW + minutes(70)


def test_of_a_model_that_was_never_measured_nothing_is_said() -> None:
    """And those behind it are told as if it took the first estimate."""
    seen = forecast([waiting(A, None), waiting(B, 5)], 1, NOW)
    assert seen.ends == {A: None, B: NOW + minutes(10 + 5)}
    assert seen.end_of_next(C, None, NOW) is None


def test_without_a_worker_nothing_can_be_said() -> None:
    assert forecast([waiting(A, 5)], 0, NOW) == NOTHING
    assert NOTHING.end_of_next(A, minutes(1), NOW) is None
    # A worker that holds a run was there a moment ago.
    going_on = Work("run", A, minutes(10), started_at=NOW)
    assert forecast([going_on], 0, NOW).ends == {"run": NOW + minutes(10)}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasting, "FRESH_SECONDS", -1.0)


def finish_one(cases: Cases, hand: Hand, runtime: Runtime, length: timedelta) -> None:
    """The model's first run, of which the length is measured."""
    now = datetime.now(UTC) + minutes(1)
    cases.submit("cleo")
    hand.publish(hand.must_claim(now), now)
    with runtime.database.write() as session:
        session.execute(update(Run).values(started_at=now - length, finished_at=now))


def expected(cases: Cases, identity: str) -> datetime | None:
    said: str | None = cases.get(identity)["expected_completion_at"]
    return None if said is None else datetime.fromisoformat(said)


@pytest.mark.usefixtures("at_once")
def test_a_request_says_when_it_will_have_been_carried_out(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    before = cases.submit("ben")
    assert expected(cases, before) is None  # nothing was measured
    cases.cancel(before)
    finish_one(cases, hand, runtime, minutes(10))
    identity = cases.submit("ada")
    now = datetime.now(UTC)
    found = expected(cases, identity)
    assert found is not None and abs(found - now - minutes(10)) < minutes(1)
    claimed = now + minutes(5)
    fence = hand.must_claim(claimed)
    assert expected(cases, identity) == claimed + minutes(10)
    later = cases.submit("ben")  # the model's next run, after that one
    assert expected(cases, later) == claimed + minutes(20)
    hand.publish(fence, claimed)
    assert expected(cases, identity) is None


@pytest.mark.usefixtures("at_once")
def test_what_waits_for_company_or_behind_a_pause_is_not_promised_earlier(
    api: TestClient, cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    """By the service's own window, where the policy of a model names none."""
    finish_one(cases, hand, runtime, minutes(10))
    patient = replace(
        runtime, settings=runtime.settings.model_copy(update={"coalesce_seconds": 7200})
    )
    api.app.state.runtime = patient  # type: ignore[attr-defined]
    identity = cases.submit("ada")
    now = datetime.now(UTC)
    for _ in range(2):  # found in the queue, then behind a pause, when no batch of it is there
        found = expected(cases, identity)
        assert found is not None and abs(found - now - minutes(120 + 10)) < minutes(1)
        change(runtime, Model, paused_until=now + minutes(5))
    change(runtime, Model, paused_until=now + minutes(300))
    assert expected(cases, identity) == now + minutes(300 + 10)


@pytest.mark.usefixtures("at_once")
def test_nothing_is_said_while_a_person_or_nobody_acts(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    finish_one(cases, hand, runtime, minutes(10))
    identity = cases.submit("ada")
    assert expected(cases, identity) is not None
    cases.hold(identity)
    assert expected(cases, identity) is None
    cases.resume(identity)
    assert expected(cases, identity) is not None
    change(runtime, Worker, heartbeat_at=datetime.now(UTC) - minutes(10))
    assert expected(cases, identity) is None
    change(runtime, Worker, heartbeat_at=datetime.now(UTC))
    with runtime.database.write() as session:
        state = session.get(ServiceState, 1) or ServiceState(id=1)
        state.paused_at, state.pause_reason = datetime.now(UTC), next(iter(PauseReason))
        session.add(state)
    assert expected(cases, identity) is None


def change(runtime: Runtime, table: Any, **values: Any) -> None:
    with runtime.database.write() as session:
        session.execute(update(table).values(**values))


def test_many_requests_are_told_by_one_look_at_the_queue(
    cases: Cases, hand: Hand, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [0]
    whole = forecasting._look

    def counted(*arguments: Any) -> Any:
        looks[0] += 1
        return whole(*arguments)

    finish_one(cases, hand, runtime, minutes(10))
    monkeypatch.setattr(forecasting, "_look", counted)
    monkeypatch.setattr(forecasting, "FRESH_SECONDS", 3600.0)
    for name in ("ada", "ben") * 5:
        cases.get(cases.submit(name))
    assert looks[0] <= 1


def test_what_is_due_first_is_claimed_first(cases: Cases, hand: Hand, runtime: Runtime) -> None:
    """Whichever came first; a person who asked longer ago has the earlier date."""
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(zoe=3, yan=2), name="other")
        other = add_model(session, dataset, name="other")
    first_come = cases.submit("ada")
    asked = (datetime.now(UTC) - timedelta(days=10)).isoformat()
    due_first = cases.submit("zoe", submitted_at=asked, models=[f"mdl_{other.id.hex}"])
    now = datetime.now(UTC) + minutes(1)
    hand.must_claim(now)
    assert (cases.state(due_first), cases.state(first_come)) == ("running", "scheduled")
    hand.must_claim(now)
    assert cases.state(first_come) == "running"
