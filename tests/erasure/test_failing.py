"""What becomes of items and model when runs fail."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.audit.tables import PendingEntry
from app.erasure import breaker, leases, subjects
from app.erasure.failing import Fault
from app.erasure.locks import Fence
from app.erasure.states import RunState
from app.erasure.tables import ErrorClass, RunItem
from app.ids import item_id, model_id
from app.keys.scopes import Scope
from app.registry.policy import Policy
from app.registry.tables import Dataset, Model
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_dataset, add_model, people, train
from tests.erasure.working import Hand

DATA = Fault(ErrorClass.NUMERICAL, "non-finite loss", apart=True)
CONFIG = Fault(ErrorClass.SETTINGS, "alpha: out of bounds")


def at(seconds: float = 1.0) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def fail(hand: Hand, fence: Fence, fault: Fault, now: datetime | None = None) -> None:
    with hand.runtime.database.write() as session:
        leases.fail(
            session, hand.runtime.keyring, fence, fault=fault, actor="service", now=now or at()
        )


def crash(hand: Hand, fence: Fence, error_class: ErrorClass, now: datetime) -> RunState:
    with hand.runtime.database.write() as session:
        return leases.give_back(
            session,
            hand.runtime.keyring,
            fence,
            error_class=error_class,
            detail="died",
            actor="service",
            now=now,
        )


def items_of(hand: Hand, fence: Fence) -> set[str]:
    with hand.runtime.database.read() as session:
        query = select(RunItem.item_id).where(RunItem.run_id == fence.run_id)
        return {item_id(item) for item in session.scalars(query)}


def only_model(runtime: Runtime) -> Model:
    with runtime.database.read() as session:
        return session.scalars(select(Model)).one()


def paused(cases: Cases, runtime: Runtime) -> Any:
    return cases.api.get(f"/api/v1/models/{model_id(only_model(runtime).id)}").json()["paused"]


def kinds(runtime: Runtime) -> list[str]:
    with runtime.database.read() as session:
        return list(session.scalars(select(PendingEntry.kind).order_by(PendingEntry.id)))


@pytest.fixture
def crowd(runtime: Runtime, model: str, cases: Cases) -> dict[str, str]:
    """Eight persons' requests on a second model, by name."""
    names = [f"p{number}" for number in range(8)]
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(**dict.fromkeys(names, 2)), name="crowd")
        other = add_model(session, dataset, name="crowd", policy=Policy(ladder=()))
    chosen = model_id(other.id)
    return {name: cases.submit(name, models=[chosen]) for name in names}


# --- one item's fault


def test_what_is_at_fault_is_found_by_halving_and_fails_alone(
    cases: Cases, hand: Hand, crowd: dict[str, str]
) -> None:
    poison = cases.item(crowd["p5"])["id"]
    clock, runs = 1.0, 0
    while (claim := hand.claim(at(clock))) is not None:
        runs += 1
        clock += 3_600
        if poison in items_of(hand, claim.fence):
            fail(hand, claim.fence, DATA, at(clock))
        else:
            hand.publish(claim.fence, at(clock), weights=f"w{runs}")
        clock += 3_600
    states = {name: cases.state(request) for name, request in crowd.items()}
    assert states.pop("p5") == "failed"
    assert set(states.values()) == {"completed"}
    assert cases.item(crowd["p5"])["error_class"] == "numerical"
    assert runs == 7  # of 8, 4, 2, 1 with it, and three without


def test_if_every_item_fails_there_are_at_most_twice_as_many_runs_as_items(
    cases: Cases, hand: Hand, crowd: dict[str, str]
) -> None:
    clock, runs = 1.0, 0
    while (claim := hand.claim(at(clock))) is not None and runs < 100:
        runs += 1
        fail(hand, claim.fence, DATA, at(clock))
        clock += 2 * breaker.LONGEST_PAUSE.total_seconds()
    assert runs == 15
    assert {cases.state(request) for request in crowd.values()} == {"failed"}


def test_parts_of_a_failed_run_are_not_mixed_with_newer_requests(cases: Cases, hand: Hand) -> None:
    ada, ben = cases.submit("ada"), cases.submit("ben")
    whole = hand.must_claim(at())
    fail(hand, whole, DATA)
    cleo = cases.submit("cleo")
    sizes = []
    for turn in range(3):
        fence = hand.must_claim(at())
        sizes.append(len(items_of(hand, fence)))
        if turn < 2:
            assert hand.run(fence).follows_id == whole.run_id
        hand.publish(fence, at(), weights=f"w{turn}")
    assert sizes == [1, 1, 1]
    assert {cases.state(one) for one in (ada, ben, cleo)} == {"completed"}


def test_who_cancels_while_a_run_is_taken_apart_leaves(cases: Cases, hand: Hand) -> None:
    ada, ben = cases.submit("ada"), cases.submit("ben")
    fail(hand, hand.must_claim(at()), DATA)
    assert cases.state(ada) == "scheduled"
    assert cases.cancel(ada).status_code == 202
    fence = hand.must_claim(at())
    assert items_of(hand, fence) == {cases.item(ben)["id"]}
    hand.publish(fence, at())
    assert (cases.state(ada), cases.state(ben)) == ("cancelled", "completed")


def test_the_item_to_blame_fails_and_the_others_go_on_together(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    requests = {name: cases.submit(name) for name in ("ada", "ben", "cleo")}
    fence = hand.must_claim(at())
    blamed = cases.item(requests["ada"])["id"]
    with runtime.database.read() as session:
        own = [i for i in session.scalars(select(RunItem.item_id)) if item_id(i) == blamed]
    fail(hand, fence, Fault(ErrorClass.MISSING_DATA, "none left", blamed=frozenset(own)))
    assert cases.state(requests["ada"]) == "failed"
    following = hand.must_claim(at())
    assert len(items_of(hand, following)) == 2
    hand.publish(following, at())
    assert [cases.state(requests[name]) for name in ("ben", "cleo")] == ["completed"] * 2


def test_a_fault_of_the_model_fails_all_items_at_once(cases: Cases, hand: Hand) -> None:
    ada, ben = cases.submit("ada"), cases.submit("ben")
    fail(hand, hand.must_claim(at()), CONFIG)
    assert (cases.state(ada), cases.state(ben)) == ("failed", "failed")
    assert cases.item(ben)["error_class"] == "settings"


@pytest.mark.parametrize(
    ("error_class", "ends"),
    [
        (ErrorClass.CRASHED, "scheduled"),
        (ErrorClass.OUT_OF_MEMORY, "scheduled"),
        (ErrorClass.STORAGE, "failed"),
    ],
)
def test_three_crashes_take_a_shared_run_apart_unless_the_store_was_away(
    error_class: ErrorClass, ends: str, cases: Cases, hand: Hand
) -> None:
    requests = [cases.submit("ada"), cases.submit("ben")]
    for attempt in (1, 2, 3):
        now = at(100 * attempt)
        crash(hand, hand.must_claim(now), error_class, now)
    assert {cases.state(request) for request in requests} == {ends}


def test_only_attempts_that_ran_out_of_memory_make_the_next_ones_smaller(
    cases: Cases, hand: Hand
) -> None:
    cases.submit("ada")
    for attempt, error_class in enumerate((ErrorClass.CRASHED, ErrorClass.OUT_OF_MEMORY), 1):
        fence = hand.must_claim(at(100 * attempt))
        assert hand.run(fence).memory_faults == 0
        crash(hand, fence, error_class, at(100 * attempt))
    assert hand.run(hand.must_claim(at(300))).memory_faults == 1


def test_a_failed_rung_is_tried_again_as_the_rung_that_it_was(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    with runtime.database.write() as session:
        session.scalars(select(Model)).one().policy = Policy().model_dump(mode="json")
    ada, _ = cases.submit("ada"), cases.submit("ben")
    hand.reject(hand.must_claim(at()), at())
    hand.reject(hand.must_claim(at()), at())
    fail(hand, hand.must_claim(at()), DATA)
    part = hand.must_claim(at())
    assert (hand.run(part).method, hand.run(part).rung) == ("rbm", 2)
    fail(hand, part, DATA)
    assert cases.decide(ada, action="retry").status_code == 202
    retried = hand.run(hand.must_claim(at()))
    assert (retried.method, retried.rung, retried.step) == ("rbm", 2, "other_method")


def test_rows_of_a_person_who_failed_for_want_of_data_may_serve_others(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    def excluded() -> int:
        with runtime.database.read() as session:
            dataset = session.scalars(select(Dataset)).one()
            return len(subjects.excluded_samples(session, only_model(runtime).id, dataset.id))

    request = cases.submit("ada")
    assert excluded() == 4
    fail(hand, hand.must_claim(at()), Fault(ErrorClass.MISSING_DATA, "none left"))
    assert excluded() == 0
    assert cases.decide(request, action="retry").status_code == 202
    assert excluded() == 4


# --- the circuit breaker


def test_three_failures_in_a_row_pause_the_model_and_no_other(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, {"dora": train(2), **people()}, name="other")
        add_model(session, dataset, name="other")
    for name in ("ada", "ben", "cleo"):
        cases.submit(name)
        fail(hand, hand.must_claim(at()), CONFIG)
    waiting, elsewhere = cases.submit("ada"), cases.submit("dora")
    claim = hand.claim(at())
    assert claim is not None
    assert cases.state(elsewhere) == "running"
    assert cases.state(waiting) == "scheduled"
    assert hand.claim(at()) is None
    shown = [
        model["paused"]
        for model in cases.api.get("/api/v1/models").json()["items"]
        if model["paused"]
    ]
    assert [(one["reason"], one["consecutive_failures"]) for one in shown] == [("settings", 3)]
    assert "erasure:model:paused" in kinds(runtime)


def three_failures(cases: Cases, hand: Hand) -> datetime:
    now = at()
    for name in ("ada", "ben", "cleo"):
        cases.submit(name)
        fail(hand, hand.must_claim(at()), CONFIG, now)
    return now


def test_after_the_pause_one_run_is_let_through_and_a_failure_doubles_the_pause(
    cases: Cases, hand: Hand
) -> None:
    now = three_failures(cases, hand)
    cases.submit("ada")
    assert hand.claim(now + breaker.FIRST_PAUSE - timedelta(seconds=1)) is None
    now += breaker.FIRST_PAUSE
    fail(hand, hand.must_claim(now), CONFIG, now)
    cases.submit("ben")
    assert hand.claim(now + 2 * breaker.FIRST_PAUSE - timedelta(seconds=1)) is None
    assert hand.claim(now + 2 * breaker.FIRST_PAUSE) is not None


@pytest.mark.parametrize("ending", ["publish", "reject"])
def test_a_run_that_comes_to_a_verdict_closes_the_breaker(
    ending: str, cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    now = three_failures(cases, hand)
    cases.submit("ada")
    now += breaker.FIRST_PAUSE
    getattr(hand, ending)(hand.must_claim(now), now)
    assert paused(cases, runtime) is None
    assert only_model(runtime).consecutive_failures == 0
    assert "erasure:model:resumed" in kinds(runtime)


def test_failures_with_a_success_between_them_pause_nothing(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    for name in ("ada", "ben"):
        cases.submit(name)
        fail(hand, hand.must_claim(at()), CONFIG)
    cases.submit("cleo")
    hand.publish(hand.must_claim(at()), at())
    cases.submit("ada")
    fail(hand, hand.must_claim(at()), CONFIG)
    assert paused(cases, runtime) is None


def test_a_persons_retry_lifts_the_pause(cases: Cases, hand: Hand, runtime: Runtime) -> None:
    three_failures(cases, hand)
    request = cases.submit("ada")
    newest = cases.api.get("/api/v1/erasure-requests?state=failed").json()["items"][0]["id"]
    assert hand.claim(at()) is None
    assert cases.decide(newest, action="retry").status_code == 202
    assert paused(cases, runtime) is None
    hand.publish(hand.must_claim(at()), at())
    hand.publish(hand.must_claim(at()), at(), weights="more")
    assert cases.state(request) == "completed"


def test_a_person_resumes_a_paused_model(cases: Cases, hand: Hand, runtime: Runtime) -> None:
    three_failures(cases, hand)
    cases.submit("ada")
    assert hand.claim(at()) is None
    url = f"/api/v1/models/{model_id(only_model(runtime).id)}/resume"
    for _ in range(2):
        answer = cases.api.post(url)
        assert (answer.status_code, answer.json()["paused"]) == (200, None)
    assert kinds(runtime).count("erasure:model:resumed") == 1
    assert hand.claim(at()) is not None


def test_resuming_needs_its_scope_and_a_model_of_the_caller(
    cases: Cases, runtime: Runtime, make_key: Callable[..., str]
) -> None:
    url = f"/api/v1/models/{model_id(only_model(runtime).id)}/resume"
    others = [scope for scope in Scope if scope is not Scope.REQUESTS_DECIDE]
    headers = {"Authorization": f"Bearer {make_key(*others)}"}
    assert cases.api.post(url, headers=headers).status_code == 403
    headers = {"Authorization": f"Bearer {make_key(controller='another')}"}
    assert cases.api.post(url, headers=headers).status_code == 404
    assert cases.api.post(f"/api/v1/models/mdl_{'0' * 32}/resume").status_code == 404


def test_a_paused_model_is_not_claimed_even_if_it_was_just_seen_as_a_candidate(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    now = three_failures(cases, hand)
    cases.submit("ada")
    with runtime.database.write() as session:
        claim = leases.claim(
            session,
            runtime.keyring,
            hand.worker,
            only_model(runtime).id,
            lease=timedelta(seconds=60),
            now=now,
        )
    assert claim is None


@pytest.mark.parametrize(
    ("failures", "minutes"),
    [(0, None), (2, None), (3, 1), (4, 2), (8, 32), (12, 360), (10**6, 360)],
)
def test_pauses_double_up_to_six_hours(failures: int, minutes: int | None) -> None:
    expected = None if minutes is None else timedelta(minutes=minutes)
    assert breaker.pause_after(failures) == expected
