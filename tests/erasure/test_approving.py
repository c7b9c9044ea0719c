"""Approvals: nothing is done for a request before somebody, or somebody else, agreed to it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.erasure import arrivals
from app.erasure.states import RunState
from app.erasure.tables import Run
from app.ids import model_id
from app.keys.scopes import Scope
from app.registry.policy import Approval, Policy
from app.registry.tables import Dataset, Model
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import URL, Cases
from tests.erasure.factories import add_dataset, add_model, people
from tests.erasure.log_of import entries_of
from tests.erasure.working import Hand


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def asking(approval: Approval) -> Policy:
    return Policy(ladder=(), approval=approval)


@pytest.fixture
def asks(runtime: Runtime, cases: Cases) -> Any:
    """`asks(approval)`: the one model's policy asks for it from now on."""

    def set_policy(approval: Approval) -> None:
        with runtime.database.write() as session:
            for model in session.scalars(select(Model)):
                model.policy = asking(approval).model_dump(mode="json")

    return set_policy


def add_late_model(runtime: Runtime, approval: Approval) -> None:
    with runtime.database.write() as session:
        dataset = session.scalars(select(Dataset)).one()
        model = add_model(session, dataset, name="late", policy=asking(approval))
        arrivals.model_ready(session, runtime.keyring, model, now=soon())


def test_a_policy_that_asks_for_nothing_lets_requests_go_on(cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    assert cases.get(request)["approval"] == {"asked": "none", "approved_at": None}
    assert hand.claim(soon()) is not None
    answer = cases.approve(request)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith(":illegal-move")


def test_nothing_is_claimed_before_the_approval_and_everything_after_it(
    cases: Cases, hand: Hand, asks: Any, runtime: Runtime
) -> None:
    asks(Approval.ONE)
    request = cases.submit("ada")
    seen = cases.get(request)
    assert (seen["state"], seen["approval"]["asked"]) == ("awaiting_approval", "one")
    assert seen["waits_for"]["by"] == "decider"
    assert hand.claim(soon()) is None
    with runtime.database.read() as session:
        assert session.scalars(select(Run)).all() == []

    answer = cases.approve(request)
    assert (answer.status_code, answer.json()["state"]) == (202, "scheduled")
    assert answer.json()["approval"]["approved_at"] is not None
    assert [one["action"] for one in answer.json()["decisions"]] == ["approve"]
    hand.publish(hand.must_claim(soon()), soon())
    assert cases.state(request) == "completed"


def test_a_second_approval_is_told_where_the_request_is(cases: Cases, asks: Any) -> None:
    asks(Approval.ONE)
    request = cases.submit("ada")
    cases.approve(request)
    answer = cases.approve(request)
    assert answer.status_code == 409
    assert "scheduled" in answer.json()["detail"]
    assert len(cases.get(request)["decisions"]) == 1


def test_the_log_says_what_was_asked_for_and_who_gave_it(
    cases: Cases, asks: Any, runtime: Runtime
) -> None:
    asks(Approval.ONE)
    request = cases.submit("ada")
    cases.approve(request)
    first, second = entries_of(runtime, request, "erasure:request:moved")
    (decided,) = entries_of(runtime, request, "erasure:request:decided")
    assert first["to_state"] == "awaiting_approval"
    assert (decided["action"], decided["approval"]) == ("approve", "one")
    assert decided["actor"] == second["actor"]
    assert (second["to_state"], second["event"]) == ("scheduled", "approved")
    assert second["actor"] == cases.get(request)["decisions"][0]["decided_by"]


def test_with_four_eyes_the_submitter_cannot_approve_and_somebody_else_can(
    cases: Cases, asks: Any, make_key: MakeKey, hand: Hand
) -> None:
    asks(Approval.FOUR_EYES)
    request = cases.submit("ada")
    answer = cases.approve(request)
    assert answer.status_code == 403
    assert answer.json()["type"].endswith(":four-eyes")
    assert cases.state(request) == "awaiting_approval"
    assert hand.claim(soon()) is None
    other = make_key(Scope.REQUESTS_DECIDE)
    assert cases.approve(request, other).json()["state"] == "scheduled"


def test_with_one_approval_the_submitter_may_give_it(cases: Cases, asks: Any) -> None:
    asks(Approval.ONE)
    assert cases.approve(cases.submit("ada")).status_code == 202


def test_the_strictest_of_the_models_counts(cases: Cases, asks: Any, runtime: Runtime) -> None:
    asks(Approval.ONE)
    add_late_model(runtime, Approval.FOUR_EYES)
    request = cases.submit("ada")
    assert cases.get(request)["approval"]["asked"] == "four_eyes"
    assert cases.approve(request).status_code == 403


def test_only_the_models_that_are_concerned_ask(cases: Cases, runtime: Runtime) -> None:
    with runtime.database.write() as session:
        other = add_dataset(runtime, session, people(dora=2), name="other")
        add_model(session, other, name="other", policy=asking(Approval.ONE))
    assert cases.state(cases.submit("ada")) == "scheduled"
    assert cases.state(cases.submit("dora")) == "awaiting_approval"


def test_a_search_that_finds_nothing_needs_no_approval(cases: Cases, asks: Any) -> None:
    asks(Approval.FOUR_EYES)
    seen = cases.get(cases.submit("nobody"))
    assert (seen["state"], seen["outcome"]) == ("completed", "no_match")


def test_requests_that_await_approval_can_be_listed(cases: Cases, asks: Any) -> None:
    before = cases.submit("ben")
    asks(Approval.ONE)
    request = cases.submit("ada")
    listed = cases.api.get(URL, params={"state": "awaiting_approval"}).json()["items"]
    assert [one["id"] for one in listed] == [request]
    assert listed[0]["waits_for"]["by"] == "decider"
    assert cases.state(before) == "scheduled"  # a policy changes nothing of what was received


def test_an_unapproved_request_can_be_cancelled_and_refused(cases: Cases, asks: Any) -> None:
    asks(Approval.ONE)
    assert cases.cancel(cases.submit("ada")).json()["state"] == "cancelled"
    assert cases.refuse(cases.submit("ben")).json()["state"] == "refused"


def test_holding_and_resuming_gives_no_approval(cases: Cases, asks: Any, hand: Hand) -> None:
    asks(Approval.FOUR_EYES)
    request = cases.submit("ada")
    assert cases.hold(request).json()["state"] == "on_hold"
    assert cases.approve(request).status_code == 409
    assert cases.resume(request).json()["state"] == "awaiting_approval"
    assert hand.claim(soon()) is None


def test_a_model_that_comes_later_asks_too_and_what_runs_goes_on(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    fence = hand.must_claim(soon())
    add_late_model(runtime, Approval.ONE)
    assert cases.state(request) == "awaiting_approval"
    assert hand.publish(fence, soon()) is RunState.SUCCEEDED
    assert cases.state(request) == "awaiting_approval"
    assert hand.claim(soon()) is None
    assert cases.approve(request).json()["state"] == "scheduled"
    hand.publish(hand.must_claim(soon()), soon())
    assert cases.state(request) == "completed"


def test_a_search_that_found_nothing_waits_for_approval_when_a_model_comes(
    cases: Cases, runtime: Runtime, hand: Hand
) -> None:
    with runtime.database.write() as session:
        add_dataset(runtime, session, people(dora=2), name="data of no model yet")
    request = cases.submit("dora")
    assert cases.state(request) == "completed"
    with runtime.database.write() as session:
        named = Dataset.name == "data of no model yet"
        dataset = session.scalars(select(Dataset).where(named)).one()
        model = add_model(session, dataset, name="late", policy=asking(Approval.ONE))
        arrivals.model_ready(session, runtime.keyring, model, now=soon())
    seen = cases.get(request)
    assert (seen["state"], seen["outcome"], seen["completed_at"]) == (
        "awaiting_approval",
        None,
        None,
    )
    assert hand.claim(soon()) is None


@pytest.mark.parametrize(
    ("late", "state"), [("one", "scheduled"), ("four_eyes", "awaiting_approval")]
)
def test_an_approval_by_the_submitter_counts_for_a_later_model_unless_it_wants_two_persons(
    cases: Cases, asks: Any, runtime: Runtime, late: str, state: str
) -> None:
    asks(Approval.ONE)
    request = cases.submit("ada")
    cases.approve(request)
    add_late_model(runtime, Approval(late))
    assert cases.state(request) == state


def test_an_approval_by_somebody_else_counts_for_a_later_model_that_wants_two_persons(
    cases: Cases, asks: Any, runtime: Runtime, make_key: MakeKey
) -> None:
    asks(Approval.ONE)
    request = cases.submit("ada")
    cases.approve(request, make_key())
    add_late_model(runtime, Approval.FOUR_EYES)
    assert cases.state(request) == "scheduled"


def test_the_policy_is_set_and_shown_with_the_model(cases: Cases, model: str) -> None:
    url = f"/api/v1/models/{model}"
    policy = cases.api.get(url).json()["policy"]
    assert policy["approval"] == "none"
    changed = cases.api.put(f"{url}/policy", json={**policy, "approval": "four_eyes"})
    assert changed.status_code == 200, changed.text
    assert cases.api.get(url).json()["policy"]["approval"] == "four_eyes"
    assert cases.state(cases.submit("ada")) == "awaiting_approval"
    wrong = cases.api.put(f"{url}/policy", json={**policy, "approval": "two"})
    assert wrong.status_code == 422
    assert [one["field"] for one in wrong.json()["errors"]] == ["body.approval"]


def test_a_policy_stored_by_an_earlier_version_asks_for_nothing(
    cases: Cases, runtime: Runtime
) -> None:
    with runtime.database.write() as session:
        model = session.scalars(select(Model)).one()
        model.policy = {name: v for name, v in model.policy.items() if name != "approval"}
    request = cases.submit("ada")
    assert cases.state(request) == "scheduled"
    assert cases.get(request)["items"][0]["model"] == model_id(model.id)
