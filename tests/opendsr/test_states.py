"""What a controller reads in each state of a case, and what it may do there."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.erasure.states import RequestState
from app.opendsr.answers import _STATUS
from app.registry.policy import Approval, Policy
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_dataset, add_model, add_version, people
from tests.erasure.working import Hand
from tests.opendsr.conftest import Files
from tests.opendsr.controller import V2, Controller, erasure

MINE = "/api/v1/erasure-requests"


def now() -> datetime:
    return datetime.now(UTC)


def native(cases: Cases, identity: str) -> dict[str, Any]:
    (found,) = cases.api.get(MINE, params={"external_id": identity}).json()["items"]
    return dict(found)


def expected(body: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(body["expected_completion_time"])


def test_every_state_has_a_status_and_none_that_failed_reads_as_done() -> None:
    assert set(_STATUS) == set(RequestState)
    done = {state for state, status in _STATUS.items() if status in ("completed", "cancelled")}
    assert done == {RequestState.COMPLETED, RequestState.CANCELLED}


def test_a_case_is_pending_then_in_progress_then_completed(
    controller: Controller, hand: Hand
) -> None:
    identity = controller.accepted(controller.person())
    waiting = controller.status(identity)
    assert waiting["request_status"] == "pending"
    assert (waiting["results_url"], waiting["results_count"]) == (None, None)
    own = controller.own(waiting)
    assert (own["state"], own["outcome"], own["verification"]) == ("scheduled", None, None)
    assert [one["state"] for one in own["models"]] == ["scheduled"]
    fence = hand.must_claim(now())
    assert controller.status(identity)["request_status"] == "in_progress"
    assert controller.delete(identity).status == 409
    hand.publish(fence, now())
    done = controller.status(identity)
    assert (done["request_status"], done["results_count"]) == ("completed", 4)
    own = controller.own(done)
    assert own["models"][0]["state"] == "published"
    assert own["verification"] == {"p_value": None, "rf_jsd": None, "verdict": "within_margin"}


def test_on_hold_reads_as_in_progress_with_the_truth_and_a_new_time(
    controller: Controller, cases: Cases
) -> None:
    identity = controller.accepted(controller.person(submitted_time="2026-03-02T12:00:00Z"))
    before = controller.status(identity)
    assert cases.hold(native(cases, identity)["id"]).status_code < 300
    found = controller.status(identity)
    assert found["request_status"] == "in_progress"
    assert controller.own(found)["state"] == "on_hold"
    assert expected(found) >= expected(before)
    assert expected(found) > now()


def test_a_decision_that_is_needed_reads_as_in_progress_with_a_new_time(
    controller: Controller, hand: Hand
) -> None:
    identity = controller.accepted(controller.person())
    hand.reject(hand.must_claim(now()), now())
    found = controller.status(identity)
    assert found["request_status"] == "in_progress"
    assert controller.own(found)["state"] == "needs_decision"
    assert expected(found) > now()
    assert controller.delete(identity).status == 409


def test_a_case_that_is_reopened_reads_as_in_progress_until_it_is_done_again(
    controller: Controller, hand: Hand, runtime: Runtime, cases: Cases
) -> None:
    from app.erasure import arrivals
    from app.ids import model_id
    from app.registry.tables import Model

    identity = controller.accepted(controller.person())
    hand.publish(hand.must_claim(now()), now())
    with runtime.database.write() as session:
        name = controller.own(controller.status(identity))["models"][0]["id"]
        model = next(one for one in session.query(Model) if model_id(one.id) == name)
        version = add_version(session, model, "trained elsewhere")
        arrivals.version_ready(session, runtime.keyring, version, now=now())
    found = controller.status(identity)
    assert found["request_status"] == "in_progress"
    assert (found["results_url"], found["results_count"]) == (None, None)
    assert controller.own(found)["state"] == "scheduled"
    assert expected(found) > now()
    assert controller.delete(identity).status == 409
    hand.publish(hand.must_claim(now()), now(), weights="newer")
    assert controller.status(identity)["request_status"] == "completed"


def test_a_request_that_waits_for_an_approval_is_pending_and_can_be_cancelled(
    api: TestClient, runtime: Runtime, make_key: MakeKey, files: Files
) -> None:
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(ada=4))
        add_model(session, dataset, policy=Policy(approval=Approval.ONE))
    controller = Controller(api, make_key(), files.authority, known="ada")
    identity = controller.accepted(controller.person())
    found = controller.status(identity)
    assert (found["request_status"], controller.own(found)["state"]) == (
        "pending",
        "awaiting_approval",
    )
    assert controller.delete(identity).status == 202


def test_a_request_cancelled_by_other_means_reads_as_cancelled_and_repeats_as_such(
    controller: Controller, cases: Cases
) -> None:
    identity = controller.accepted(controller.person())
    cases.cancel(native(cases, identity)["id"])
    assert controller.status(identity)["request_status"] == "cancelled"
    assert controller.delete(identity).status == 202


def test_a_repeat_after_the_case_moved_on_is_answered_with_the_first_bytes(
    controller: Controller, hand: Hand, cases: Cases
) -> None:
    raw = json.dumps(controller.person()).encode()
    first = controller.post_raw(raw)
    identity = json.loads(raw)["subject_request_id"]
    case = native(cases, identity)["id"]
    cases.hold(case, "identity_question")
    cases.resume(case)
    assert controller.post_raw(raw).raw == first.raw
    hand.publish(hand.must_claim(now()), now())
    assert controller.post_raw(raw).raw == first.raw


def test_the_native_interface_shows_the_request_under_its_id(
    controller: Controller, cases: Cases
) -> None:
    identity = controller.accepted(controller.person())
    shown = native(cases, identity)
    assert shown["external_id"] == identity
    assert (shown["regulation"], shown["submitted_at"]) == ("gdpr", "2026-03-02T12:00:00Z")


def test_an_id_that_the_native_interface_has_is_taken(controller: Controller, cases: Cases) -> None:
    body = controller.nobody()
    cases.submit("ben", external_id=body["subject_request_id"])
    answer = controller.post(body)
    assert (answer.status, answer.reason) == (409, "request-id-taken")
    assert controller.get(body["subject_request_id"]).status == 404


def test_another_controller_s_request_is_forbidden_and_its_id_is_free(
    controller: Controller, runtime: Runtime, make_key: MakeKey, files: Files
) -> None:
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(eve=2), controller="other")
        add_model(session, dataset)
    other = Controller(controller.client, make_key(controller="other"), files.authority, "eve")
    body = controller.person()
    raw = json.dumps(body).encode()
    identity = controller.accepted(body)
    for answer in (
        other.get(identity),
        other.call("GET", f"{V2}/status/{identity}"),
        other.delete(identity),
    ):
        assert (answer.status, answer.reason) == (403, "not-your-request")
        assert answer.error["errors"][0]["domain"] == "Authorization"
    # The same bytes are a request of its own there.
    answer = other.post_raw(raw)
    assert answer.status == 201
    assert answer.body["controller_id"] != controller.status(identity)["controller_id"]
    assert other.status(identity)["request_status"] == "completed"
    assert controller.status(identity)["request_status"] == "pending"


@pytest.mark.parametrize(
    ("scope", "reads", "writes"), [("requests:read", 404, 403), ("requests:write", 403, 404)]
)
def test_each_call_needs_its_scope(
    controller: Controller, make_key: MakeKey, scope: Any, reads: int, writes: int
) -> None:
    auth = f"Bearer {make_key(scope)}"
    nothing = "00000000-0000-4000-8000-000000000000"
    assert controller.get(nothing, auth=auth).status == reads
    assert controller.delete(nothing, auth=auth).status == writes
    assert controller.post(controller.nobody(), auth=auth).status == (403 if reads == 404 else 201)


def test_too_many_calls_are_told_when_to_come_again(
    controller: Controller, runtime: Runtime, make_key: MakeKey, files: Files
) -> None:
    from app.main import create_app

    slow = runtime.settings.model_copy(update={"rate_limit": "1/hour"})
    with TestClient(create_app(slow)) as client:
        limited = Controller(client, make_key(), files.authority)
        limited.post(erasure())
        answer = limited.post(erasure())
    assert (answer.status, answer.reason) == (429, "rate-limited")
    assert answer.error["errors"][0]["domain"] == "Limit"
    assert int(answer.headers["retry-after"]) > 0


def test_nothing_registered_is_a_conflict_and_says_so(
    api: TestClient, make_key: MakeKey, files: Files
) -> None:
    controller = Controller(api, make_key(), files.authority)
    answer = controller.post(controller.nobody())
    assert (answer.status, answer.reason) == (409, "nothing-registered")


def test_the_due_date_moves_with_a_pause_and_the_receipt_does_not(
    controller: Controller, cases: Cases
) -> None:
    recent = (now() - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = controller.person(submitted_time=recent)
    first = controller.post(body)
    identity = body["subject_request_id"]
    case = native(cases, identity)["id"]
    assert cases.extend(case).status_code < 300
    assert expected(controller.status(identity)) > expected(first.body)
    assert controller.post(body).raw == first.raw
