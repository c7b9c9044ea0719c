from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.erasure import forming, leases
from app.erasure.failing import Fault
from app.erasure.locks import Fence, LeaseLost
from app.erasure.states import RunState
from app.erasure.tables import ErrorClass, ItemSample, Run
from app.registry.locks import lock_model
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.test_arriving_versions import while_open
from tests.erasure.working import LEASE, Hand


def later(seconds: float = 1.0) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_nothing_to_do_is_no_claim(hand: Hand, model: str) -> None:
    assert hand.claim(later()) is None


def test_a_claim_forms_one_run_of_all_waiting_requests(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    requests = [cases.submit(name) for name in ("ada", "ben", "cleo")]
    fence = hand.must_claim(later())
    assert fence.attempt == 1
    assert {cases.state(request) for request in requests} == {"running"}
    assert len({cases.item(request)["run"] for request in requests}) == 1
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ItemSample)) == 4 + 3 + 2


def test_a_model_has_one_live_run(cases: Cases, hand: Hand) -> None:
    cases.submit("ada")
    hand.must_claim(later())
    waiting = cases.submit("ben")
    assert hand.claim(later()) is None
    assert cases.state(waiting) == "scheduled"


def test_newer_requests_wait_for_the_run_after(cases: Cases, hand: Hand) -> None:
    first = cases.submit("ada")
    fence = hand.must_claim(later())
    second = cases.submit("ben")
    assert hand.publish(fence, later()) is RunState.SUCCEEDED
    assert (cases.state(first), cases.state(second)) == ("completed", "scheduled")
    following = hand.must_claim(later())
    assert following.run_id != fence.run_id
    assert hand.run(following).base_version_id != hand.run(fence).base_version_id


def test_requests_wait_for_company_inside_the_window(cases: Cases, hand: Hand) -> None:
    cases.submit("ada")
    assert hand.claim(later(5), coalesce=10) is None
    assert hand.claim(later(11), coalesce=10) is not None


def test_a_silent_worker_loses_its_run_and_every_write(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    stale = hand.must_claim(later())
    after = later(LEASE.total_seconds() + 5)
    assert hand.sweep(after) == 1
    after += leases.PAUSES[0]
    fresh = hand.must_claim(after)
    assert (fresh.run_id, fresh.attempt) == (stale.run_id, 2)
    with pytest.raises(LeaseLost), runtime.database.write() as session:
        leases.renew(session, stale, lease=LEASE, now=after)
    with pytest.raises(LeaseLost):
        hand.publish(stale, after)
    assert cases.state(request) == "running"
    assert hand.publish(fresh, after) is RunState.SUCCEEDED
    assert cases.state(request) == "completed"


def test_a_crashed_run_waits_a_little_before_it_is_tried_again(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    cases.submit("ada")
    now = later()
    fence = hand.must_claim(now)
    with runtime.database.write() as session:
        leases.give_back(
            session,
            runtime.keyring,
            fence,
            error_class=ErrorClass.STORAGE,
            detail="OSError",
            actor="service",
            now=now,
        )
    assert hand.claim(now) is None
    assert hand.claim(now + leases.PAUSES[0]) is not None


def test_a_stop_of_the_service_is_no_crash_however_often(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    for attempt in range(1, 6):
        fence = hand.must_claim(later())
        assert fence.attempt == attempt
        with runtime.database.write() as session:
            leases.put_down(session, fence, actor="service", now=later())
    assert cases.state(request) == "running"
    assert hand.publish(hand.must_claim(later()), later()) is RunState.SUCCEEDED


def test_a_run_takes_so_many_persons_and_the_rest_wait_for_the_next(
    cases: Cases, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forming, "MOST_ITEMS", 2)
    requests = [cases.submit(name) for name in ("ada", "ben", "cleo")]
    fence = hand.must_claim(later())
    assert [cases.state(one) for one in requests] == ["running", "running", "scheduled"]
    hand.publish(fence, later())
    hand.publish(hand.must_claim(later()), later())
    assert {cases.state(one) for one in requests} == {"completed"}


def test_a_renewed_lease_is_not_swept(cases: Cases, hand: Hand, runtime: Runtime) -> None:
    cases.submit("ada")
    fence = hand.must_claim(later())
    with runtime.database.write() as session:
        leases.renew(session, fence, lease=LEASE, now=later(50))
    assert hand.sweep(later(70)) == 0


def test_a_run_that_is_renewed_after_the_look_is_not_taken_back(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    cases.submit("ada")
    fence = hand.must_claim(later())
    with runtime.database.read() as session:
        assert leases.expired(session, now=later(70)) == [fence]
    with runtime.database.write() as session:
        leases.renew(session, fence, lease=LEASE, now=later(50))
    with runtime.database.write() as session:
        assert not leases.take_back(session, runtime.keyring, fence, now=later(70))
    hand.publish(fence, later(70))
    with runtime.database.write() as session:
        assert not leases.take_back(session, runtime.keyring, fence, now=later(170))


def test_the_third_crash_fails_the_items_with_the_error_class(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    states = []
    for attempt in (1, 2, 3):
        fence = hand.must_claim(later(100 * attempt))
        assert fence.attempt == attempt
        with runtime.database.write() as session:
            states.append(
                leases.give_back(
                    session,
                    runtime.keyring,
                    fence,
                    error_class=ErrorClass.OUT_OF_MEMORY,
                    detail="OutOfMemoryError",
                    actor="service",
                    now=later(100 * attempt),
                )
            )
    assert states == [RunState.QUEUED, RunState.QUEUED, RunState.FAILED]
    assert cases.state(request) == "failed"
    assert cases.item(request)["error_class"] == "out_of_memory"
    assert hand.claim(later()) is None


def test_a_failed_request_can_be_retried_by_a_person(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    fence = hand.must_claim(later())
    with runtime.database.write() as session:
        leases.fail(
            session,
            runtime.keyring,
            fence,
            fault=Fault(ErrorClass.NUMERICAL, "non-finite loss"),
            actor="service",
            now=later(),
        )
    assert cases.state(request) == "failed"
    assert cases.decide(request, action="accept").status_code == 409
    assert cases.decide(request, action="retry").status_code == 202
    retry = hand.must_claim(later())
    assert retry.run_id != fence.run_id
    assert hand.run(retry).rung == 0
    assert hand.publish(retry, later()) is RunState.SUCCEEDED
    assert cases.state(request) == "completed"


def test_a_run_is_put_down_by_one_who_holds_its_model(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    cases.submit("ada")
    fence = hand.must_claim(later())
    model = hand.run(fence).model_id

    def put_down() -> None:
        with runtime.database.write() as session:
            leases.put_down(session, fence, actor="service", now=later())

    while_open(runtime.database, lambda session: lock_model(session, model), put_down)
    assert hand.run(fence).state is RunState.QUEUED


def test_a_run_that_is_queued_again_while_a_claim_looks_is_not_doubled(
    cases: Cases, hand: Hand, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases.submit("ada")
    fence = hand.must_claim(later())
    cases.submit("ben")
    look = leases._has_live_run

    def look_later(session: Session, model: UUID) -> bool:
        leases.put_down(session, fence, actor="service", now=later())
        return look(session, model)

    monkeypatch.setattr(leases, "_has_live_run", look_later)
    with runtime.database.write() as session:
        model = hand.run(fence).model_id
        claim = leases.claim(session, runtime.keyring, hand.worker, model, lease=LEASE, now=later())
    assert claim is None


def test_the_batch_that_is_due_first_is_claimed_first(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    from app.ids import model_id
    from app.registry.tables import Dataset
    from tests.erasure.factories import add_model

    with runtime.database.write() as session:
        second = add_model(session, session.scalars(select(Dataset)).one(), name="second")
    other = model_id(second.id)
    first = cases.item(
        cases.submit("ada", models=[cases.api.get("/api/v1/models").json()["items"][-1]["id"]])
    )["model"]
    long_ago = (datetime.now(UTC) - timedelta(days=20)).isoformat()
    target = other if first != other else first
    cases.submit("ben", models=[target], submitted_at=long_ago)
    claimed = hand.claim(later())
    assert claimed is not None
    assert model_id(claimed.model_id) == target


def test_a_fence_of_another_attempt_reads_nothing(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    cases.submit("ada")
    fence = hand.must_claim(later())
    wrong = Fence(fence.run_id, fence.attempt + 1)
    with pytest.raises(LeaseLost), runtime.database.write() as session:
        leases.write(session, wrong, progress={"phase": "loading"})


def test_the_database_itself_refuses_a_second_live_run(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    from sqlalchemy.exc import IntegrityError

    cases.submit("ada")
    run = hand.run(hand.must_claim(later()))
    with pytest.raises(IntegrityError), runtime.database.write() as session:
        session.add(
            Run(
                model_id=run.model_id,
                base_version_id=run.base_version_id,
                state=RunState.QUEUED,
                method="lotus",
                mode="guided",
                settings={},
                seed=1,
                due_at=run.due_at,
                created_at=run.created_at,
            )
        )
