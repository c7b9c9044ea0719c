"""Hold and resume: nothing is done meanwhile, nothing is lost, and the legal clock is told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.erasure import candidates, closing, subjects
from app.erasure.locks import LeaseLost
from app.erasure.states import RunState
from app.erasure.tables import ErasureRequest, Run
from app.metrics import figures
from app.registry.policy import Approval, Policy
from app.registry.tables import Dataset, Model, Sample, SampleSubject
from app.runtime import Runtime
from tests.erasure.conftest import Cases, Clock
from tests.erasure.factories import add_model
from tests.erasure.log_of import entries_of
from tests.erasure.working import Hand

IDENTITY = "identity_question"


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


# What a hold does to the work


def test_a_held_request_is_not_claimed_and_a_resumed_one_is(cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    answer = cases.hold(request, "restriction")
    assert answer.status_code == 202, answer.text
    seen = answer.json()
    assert (seen["state"], seen["hold"]) == ("on_hold", {"reason": "restriction", "until": None})
    assert seen["waits_for"]["by"] == "decider"
    assert seen["items"][0]["state"] == "scheduled"
    assert hand.claim(soon()) is None
    seen = cases.resume(request).json()
    assert (seen["state"], seen["hold"]) == ("scheduled", None)
    assert [one["action"] for one in seen["decisions"]] == ["hold", "resume"]
    hand.publish(hand.must_claim(soon()), soon())
    assert cases.state(request) == "completed"


def test_the_others_of_a_run_go_on_without_the_held_one(cases: Cases, hand: Hand) -> None:
    ada, ben = cases.submit("ada"), cases.submit("ben")
    fence = hand.must_claim(soon())
    cases.hold(ada)
    assert (cases.state(ada), cases.state(ben)) == ("on_hold", "scheduled")
    with pytest.raises(LeaseLost):
        hand.publish(fence, soon())
    following = hand.must_claim(soon())
    assert hand.run(following).follows_id == fence.run_id
    assert hand.publish(following, soon()) is RunState.SUCCEEDED
    assert (cases.state(ada), cases.state(ben)) == ("on_hold", "completed")
    assert hand.claim(soon()) is None


def test_what_was_held_goes_on_from_the_rung_that_it_had_reached(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    """A hold would be a way to try until a test passes, if the count of tries began anew."""
    with runtime.database.write() as session:
        session.scalars(select(Model)).one().policy = Policy().model_dump(mode="json")
    ada, ben = cases.submit("ada"), cases.submit("ben")
    hand.reject(hand.must_claim(soon()), soon())
    second = hand.must_claim(soon())
    assert hand.run(second).rung == 1
    cases.hold(ada)
    hand.publish(hand.must_claim(soon()), soon())
    assert hand.claim(soon()) is None
    cases.resume(ada)
    third = hand.run(hand.must_claim(soon()))
    assert (third.rung, third.step, third.follows_id) == (
        1,
        hand.run(second).step,
        second.run_id,
    )
    assert (cases.state(ada), cases.state(ben)) == ("running", "completed")


def test_a_resumed_request_and_a_new_one_both_come_to_their_end(cases: Cases, hand: Hand) -> None:
    ada = cases.submit("ada")
    hand.must_claim(soon())
    cases.hold(ada)
    ben = cases.submit("ben")
    cases.resume(ada)
    for _ in range(2):
        hand.publish(hand.must_claim(soon()), soon())
    assert (cases.state(ada), cases.state(ben)) == ("completed", "completed")


def test_an_item_that_needs_a_decision_still_needs_it_after_the_hold(
    cases: Cases, hand: Hand
) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    cases.hold(request)
    for action in ("retry", "accept"):
        answer = cases.decide(request, action=action)
        assert answer.status_code == 409
        assert answer.json()["type"].endswith(":illegal-move")
    assert cases.resume(request).json()["state"] == "needs_decision"
    assert cases.decide(request, action="retry").status_code == 202


def test_a_decision_for_one_person_leaves_another_s_held_item_where_it_is(
    cases: Cases, hand: Hand
) -> None:
    ada, ben = cases.submit("ada"), cases.submit("ben")
    hand.reject(hand.must_claim(soon()), soon())
    cases.hold(ben)
    answer = cases.decide(ada, action="accept")
    assert answer.status_code == 409  # the candidate was trained without Ben's samples
    assert answer.json()["type"].endswith(":candidate-outdated")
    assert cases.decide(ada, action="retry").status_code == 202
    assert (cases.state(ada), cases.item(ben)["state"]) == ("scheduled", "needs_decision")
    hand.reject(hand.must_claim(soon()), soon())
    cases.resume(ben)
    # Ada's waits for what came of a later run: a decision on Ben's does not concern it.
    assert cases.decide(ben, action="retry").status_code == 202
    assert (cases.state(ada), cases.state(ben)) == ("needs_decision", "scheduled")


def test_a_request_with_a_published_part_can_be_held_for_the_rest(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    with runtime.database.write() as session:
        add_model(session, session.scalars(select(Dataset)).one(), name="second")
    request = cases.submit("ada")
    hand.publish(hand.must_claim(soon()), soon())
    assert cases.hold(request).json()["state"] == "on_hold"
    assert hand.claim(soon()) is None
    cases.resume(request)
    hand.publish(hand.must_claim(soon()), soon())
    assert cases.state(request) == "completed"


def test_a_held_request_can_be_cancelled(cases: Cases, hand: Hand, runtime: Runtime) -> None:
    request = cases.submit("ada")
    cases.hold(request, IDENTITY)
    seen = cases.cancel(request).json()
    assert (seen["state"], seen["hold"], seen["clock_paused_since"]) == ("cancelled", None, None)
    assert entries_of(runtime, request, "erasure:deadline:resumed")


@pytest.mark.parametrize("ended", ["completed", "cancelled", "refused", "no_match"])
def test_what_has_ended_cannot_be_held(cases: Cases, hand: Hand, ended: str) -> None:
    request = cases.submit("nobody" if ended == "no_match" else "ada")
    if ended == "completed":
        hand.publish(hand.must_claim(soon()), soon())
    elif ended == "cancelled":
        cases.cancel(request)
    elif ended == "refused":
        cases.refuse(request)
    before = cases.get(request)
    for answer in (cases.hold(request), cases.resume(request)):
        assert answer.status_code == 409
        assert answer.json()["type"].endswith(":illegal-move")
    assert cases.get(request) == before


def test_the_second_of_two_holds_or_resumes_is_told_where_the_request_is(cases: Cases) -> None:
    request = cases.submit("ada")
    cases.hold(request)
    assert "on_hold" in cases.hold(request).json()["detail"]
    cases.resume(request)
    answer = cases.resume(request)
    assert answer.status_code == 409
    assert "is scheduled" in answer.json()["detail"]
    assert "on_hold" in answer.json()["detail"]  # among what it can become


@pytest.mark.parametrize("how", ["held", "unapproved", "refused"])
def test_samples_of_a_request_that_is_kept_back_are_in_no_other_set_of_a_run(
    cases: Cases, hand: Hand, runtime: Runtime, how: str
) -> None:
    ada = cases.submit("ada")
    if how == "held":
        cases.hold(ada)
    elif how == "refused":
        cases.refuse(ada)
    else:
        with runtime.database.write() as session:
            asking = Policy(approval=Approval.ONE).model_dump(mode="json")
            session.scalars(select(Model)).one().policy = asking
        cases.submit("cleo")
    with runtime.database.read() as session:
        model = session.scalars(select(Model)).one()
        excluded = subjects.excluded_samples(session, model.id, model.dataset_id)
        shown = select(SampleSubject.subject_ref, Sample.id).join(
            Sample, Sample.id == SampleSubject.sample_id
        )
        by_person: dict[bytes, set[int]] = {}
        for ref, sample in session.execute(shown):
            by_person.setdefault(ref, set()).add(sample)
    sizes = sorted(len(samples) for samples in by_person.values() if samples <= excluded)
    assert sizes == {"held": [4], "unapproved": [2, 4], "refused": []}[how]


# What a hold does to the clock


def test_a_question_of_identity_moves_the_due_date_by_the_time_it_took(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    assert cases.get(request)["due_at"] == "2026-04-06T23:59:59Z"
    clock.at("2026-03-10")
    seen = cases.hold(request, IDENTITY).json()
    assert seen["clock_paused_since"] == "2026-03-10T12:00:00Z"
    assert seen["due_at"] == "2026-04-06T23:59:59Z"
    clock.at("2026-03-12T13:00:00+00:00")
    seen = cases.resume(request).json()
    # 5 April and three days, since a day that has begun counts: Wednesday.
    assert (seen["due_at"], seen["clock_paused_since"]) == ("2026-04-08T23:59:59Z", None)
    assert seen["deadline"]["pauses"] == [
        {"since": "2026-03-10T12:00:00Z", "until": "2026-03-12T13:00:00Z"}
    ]
    (paused,) = entries_of(runtime, request, "erasure:deadline:paused")
    (resumed,) = entries_of(runtime, request, "erasure:deadline:resumed")
    assert (paused["reason"], paused["due_at"]) == (IDENTITY, "2026-04-06T23:59:59.000000Z")
    assert resumed["paused_since"] == "2026-03-10T12:00:00.000000Z"
    assert resumed["due_at"] == "2026-04-08T23:59:59.000000Z"


def test_pauses_add_up(cases: Cases, clock: Clock) -> None:
    request = cases.submit("ada")
    for start, end in (("10", "12"), ("15", "16")):
        clock.at(f"2026-03-{start}")
        cases.hold(request, IDENTITY)
        clock.at(f"2026-03-{end}")
        cases.resume(request)
    assert cases.get(request)["due_at"] == "2026-04-08T23:59:59Z"


@pytest.mark.parametrize("reason", ["restriction", "legal_hold", "internal_review"])
def test_no_other_hold_stops_the_clock(cases: Cases, clock: Clock, reason: str) -> None:
    request = cases.submit("ada")
    cases.hold(request, reason)
    clock.at("2026-03-20")
    assert cases.get(request)["clock_paused_since"] is None
    seen = cases.resume(request).json()
    assert (seen["due_at"], seen["deadline"]["pauses"]) == ("2026-04-06T23:59:59Z", [])


def test_under_the_ccpa_a_question_of_identity_takes_no_time_off(
    cases: Cases, clock: Clock
) -> None:
    request = cases.submit("ada", regulation="ccpa")
    assert cases.hold(request, IDENTITY).json()["clock_paused_since"] is None
    clock.at("2026-03-20")
    assert cases.resume(request).json()["due_at"] == "2026-04-19T23:59:59Z"


def overdue_count(runtime: Runtime, now: datetime) -> Any:
    with runtime.database.read() as session:
        found = {metric.name: metric for metric in figures.read(session, now=now)}
    return found["lotus_requests_overdue"].samples[0].value


def test_while_the_clock_stands_still_nothing_becomes_overdue(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    clock.at("2026-04-01")
    cases.hold(request, IDENTITY)
    clock.at("2026-05-01")
    assert not cases.get(request)["overdue"]
    assert overdue_count(runtime, clock.now) == 0
    cases.resume(request)
    # 5 April and thirty days is 5 May.
    assert cases.get(request)["due_at"] == "2026-05-05T23:59:59Z"
    assert not cases.get(request)["overdue"]
    clock.at("2026-05-06")
    assert cases.get(request)["overdue"]
    assert overdue_count(runtime, clock.now) == 1


def test_a_period_that_is_over_is_not_made_longer(cases: Cases, clock: Clock) -> None:
    request = cases.submit("ada")
    clock.at("2026-04-07")
    seen = cases.hold(request, IDENTITY).json()
    assert (seen["state"], seen["clock_paused_since"], seen["overdue"]) == ("on_hold", None, True)
    clock.at("2026-04-20")
    seen = cases.resume(request).json()
    assert (seen["due_at"], seen["overdue"]) == ("2026-04-06T23:59:59Z", True)


def test_a_candidate_is_kept_while_the_clock_stands_still(
    cases: Cases, hand: Hand, clock: Clock, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    cases.hold(request, IDENTITY)
    late = datetime(2026, 4, 8, tzinfo=UTC)
    with runtime.database.read() as session:
        assert candidates.over(session, now=late) == []
    clock.at("2026-03-06")
    cases.resume(request)
    with runtime.database.read() as session:
        assert len(candidates.over(session, now=late)) == 1


# What a hold says


def test_a_hold_that_outlasts_its_end_is_late_and_goes_on(
    cases: Cases, hand: Hand, clock: Clock
) -> None:
    request = cases.submit("ada")
    seen = cases.hold(request, until="2026-03-09T00:00:00+01:00").json()
    assert seen["hold"] == {"reason": "legal_hold", "until": "2026-03-08T23:00:00Z"}
    assert (seen["waits_for"]["until"], seen["waits_for"]["late"]) == (
        "2026-03-08T23:00:00Z",
        False,
    )
    clock.at("2026-03-09")
    seen = cases.get(request)
    assert (seen["state"], seen["waits_for"]["late"]) == ("on_hold", True)
    assert hand.claim(soon()) is None


def test_the_log_says_why_and_until_when(cases: Cases, clock: Clock, runtime: Runtime) -> None:
    request = cases.submit("ada")
    cases.hold(request, until="2026-03-09T00:00:00Z", note="Asked the court.")
    moved = entries_of(runtime, request, "erasure:request:moved")[-1]
    (decided,) = entries_of(runtime, request, "erasure:request:decided")
    assert (moved["to_state"], moved["event"], moved["reason_code"]) == (
        "on_hold",
        "held",
        "legal_hold",
    )
    assert (decided["action"], decided["until"]) == ("hold", "2026-03-09T00:00:00.000000Z")
    assert len(decided["note_sha256"]) == 64
    assert cases.get(request)["reason_code"] is None


def test_the_note_of_a_hold_goes_when_the_case_closes(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    cases.hold(request, note="Asked the court.")
    cases.resume(request)
    hand.publish(hand.must_claim(soon()), soon())
    assert cases.get(request)["decisions"][0]["note"] == "Asked the court."
    with runtime.database.write() as session:
        identity = session.scalars(select(ErasureRequest.id)).one()
        assert closing.close(
            session,
            runtime.keyring,
            identity,
            suppressed_for=timedelta(days=1),
            now=soon() + timedelta(days=8),
        )
    assert [(one["action"], one["note"]) for one in cases.get(request)["decisions"]] == [
        ("hold", None),
        ("resume", None),
    ]


def test_no_run_is_left_live_when_the_only_item_of_a_run_is_held(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    hand.must_claim(soon())
    cases.hold(request)
    assert cases.item(request)["state"] == "scheduled"
    with runtime.database.read() as session:
        assert session.scalars(select(Run.state)).all() == [RunState.SUPERSEDED]
