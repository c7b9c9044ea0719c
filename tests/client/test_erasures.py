"""What the client sends about erasure requests, and how it waits."""

import json
from datetime import UTC, datetime

import httpx2
import pytest

from client import LotusClient, Subject, TookTooLong
from tests.client.service import REQUEST, answering


def test_a_request_carries_what_was_given_and_nothing_else() -> None:
    lotus, seen = answering(httpx2.Response(202, json=REQUEST))
    asked = datetime(2026, 1, 31, 12, tzinfo=UTC)
    lotus.submit_erasure(
        [Subject("anna@example.org", "email"), Subject("42")],
        external_id="case-1",
        submitted_at=asked,
        idempotency_key="again",
    )
    assert json.loads(seen[0].content) == {
        "external_id": "case-1",
        "subjects": [
            {"type": "email", "value": "anna@example.org", "format": "raw"},
            {"type": "controller_customer_id", "value": "42", "format": "raw"},
        ],
        "regulation": "gdpr",
        "submitted_at": "2026-01-31T12:00:00+00:00",
    }
    assert seen[0].headers["idempotency-key"] == "again"


def test_cancelling_sends_no_body() -> None:
    lotus, seen = answering(httpx2.Response(202, json=REQUEST))
    lotus.cancel("req_1")
    assert (seen[0].method, seen[0].url.path) == ("POST", "/api/v1/erasure-requests/req_1/cancel")
    assert seen[0].content == b""


def test_impact_answers_one_entry_for_each_model() -> None:
    model = {
        "model": "mdl_1",
        "name": "digits",
        "forget_count": 100,
        "held_out_count": 0,
        "retain_count": 400,
        "unseen_count": 1297,
        "enough_data": True,
    }
    lotus, _ = answering(httpx2.Response(200, json={"models": [model]}))
    [found] = lotus.impact([Subject("42")])
    assert (found.forget_count, found.estimated_seconds) == (100, None)


@pytest.mark.parametrize("last", ["completed", "cancelled", "refused", "needs_decision", "failed"])
def test_watching_ends_when_the_request_ends_or_needs_a_person(last: str) -> None:
    states = ["scheduled", "running", last, "never asked for"]
    answers = [httpx2.Response(200, json={**REQUEST, "state": state}) for state in states]
    lotus, seen = answering(*answers)
    assert [now.state for now in lotus.watch("req_1", interval=0)] == states[:3]
    assert len(seen) == 3


def test_watching_gives_up_when_the_time_is_over() -> None:
    answer = httpx2.MockTransport(lambda request: httpx2.Response(200, json=REQUEST))
    lotus = LotusClient("http://service", "key", transport=answer)
    with pytest.raises(TookTooLong):
        list(lotus.watch("req_1", timeout=0, interval=0))


def test_audit_entries_of_one_request_are_asked_for_by_its_id() -> None:
    entry = {
        "index": None,
        "kind": "erasure:request:received",
        "facts": {"item_count": 1},
        "leaf_hash": "00" * 32,
        "created_at": "2026-01-31T12:00:00Z",
    }
    lotus, seen = answering(httpx2.Response(200, json={"items": [entry], "next_cursor": None}))
    [found] = lotus.audit_entries(request="req_1")
    assert found.index is None
    assert dict(seen[0].url.params) == {"request": "req_1"}


def test_a_decision_carries_what_was_given_and_nothing_else() -> None:
    lotus, seen = answering(*[httpx2.Response(202, json=REQUEST)] * 3)
    told = datetime(2026, 2, 3, 12, tzinfo=UTC)
    lotus.hold("req_1", "restriction")
    lotus.refuse("req_1", "legal_claims", note="in court")
    lotus.extend("req_1", "complexity", notified_at=told)
    assert [json.loads(one.content) for one in seen] == [
        {"reason": "restriction"},
        {"reason_code": "legal_claims", "note": "in court"},
        {"reason": "complexity", "notified_at": "2026-02-03T12:00:00+00:00"},
    ]
    assert [one.url.path.rsplit("/", 1)[1] for one in seen] == ["hold", "refuse", "extend"]


def test_an_older_service_that_says_nothing_of_decisions_is_understood() -> None:
    lotus, _ = answering(httpx2.Response(200, json=REQUEST))
    request = lotus.get_request("req_1")
    assert (request.approval, request.hold, request.deadline, request.decisions) == (
        None,
        None,
        None,
        [],
    )
