"""The client repeats what does no harm twice, and turns every refusal into one kind of error."""

from collections.abc import Callable

import httpx2
import pytest

from client import LotusClient, LotusProblem, LotusUnreachable, Subject, UnexpectedAnswer, transport
from tests.client.service import PROBLEM, REQUEST, answering


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(transport, "pause", taken.append)
    return taken


def test_the_key_is_sent_as_a_bearer_token() -> None:
    lotus, seen = answering(httpx2.Response(200, json=REQUEST))
    lotus.get_request(str(REQUEST["id"]))
    assert seen[0].headers["authorization"] == "Bearer key"
    assert seen[0].url == f"http://service/api/v1/erasure-requests/{REQUEST['id']}"


def test_a_refusal_becomes_a_problem_with_its_type_and_fields() -> None:
    lotus, _ = answering(httpx2.Response(422, json=PROBLEM))
    with pytest.raises(LotusProblem) as caught:
        lotus.submit_erasure([Subject("anna")])
    problem = caught.value
    assert (problem.status, problem.code) == (422, "invalid-input")
    assert [(fault.field, fault.message) for fault in problem.errors] == [
        ("subjects.0.type", "is not valid")
    ]


def test_an_error_page_of_a_proxy_is_not_taken_for_a_problem() -> None:
    lotus, _ = answering(httpx2.Response(403, text="<html>no</html>"))
    with pytest.raises(UnexpectedAnswer, match="403"):
        lotus.get_request("req_1")


def test_an_answer_that_lacks_a_field_names_the_field_and_not_its_content() -> None:
    lotus, _ = answering(httpx2.Response(200, json={**REQUEST, "due_at": "soon-anna"}))
    with pytest.raises(UnexpectedAnswer, match="due_at") as caught:
        lotus.get_request("req_1")
    assert "anna" not in str(caught.value)


def test_fields_of_a_newer_service_are_ignored() -> None:
    lotus, _ = answering(httpx2.Response(200, json={**REQUEST, "invented_later": 1}))
    assert lotus.get_request("req_1").state == "received"


@pytest.mark.parametrize(
    "failure", [httpx2.ConnectError("refused"), httpx2.Response(503), httpx2.Response(502)]
)
def test_a_read_is_repeated_after_a_passing_failure(
    failure: httpx2.Response | Exception, pauses: list[float]
) -> None:
    lotus, seen = answering(failure, failure, httpx2.Response(200, json=REQUEST))
    assert lotus.get_request("req_1").state == "received"
    assert len(seen) == 3
    assert pauses == [pytest.approx(0.2), pytest.approx(0.8)]


def test_a_read_waits_as_long_as_the_service_asks(pauses: list[float]) -> None:
    busy = httpx2.Response(503, headers={"Retry-After": "3"})
    lotus, _ = answering(busy, httpx2.Response(200, json=REQUEST))
    lotus.get_request("req_1")
    assert pauses == [3.0]


def test_a_read_gives_up_after_three_attempts() -> None:
    refused = httpx2.ConnectError("refused")
    lotus, seen = answering(refused, refused, refused)
    with pytest.raises(LotusUnreachable, match="http://service"):
        lotus.get_request("req_1")
    assert len(seen) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda lotus: lotus.cancel("req_1"),
        lambda lotus: lotus.approve("req_1"),
        lambda lotus: lotus.set_policy("mdl_1", {}),
    ],
)
def test_a_write_without_a_key_is_never_repeated(call: Callable[[LotusClient], object]) -> None:
    lotus, seen = answering(httpx2.ConnectError("refused"), httpx2.Response(202, json=REQUEST))
    with pytest.raises(LotusUnreachable):
        call(lotus)
    assert len(seen) == 1


IN_USE = {**PROBLEM, "status": 409, "type": "urn:lotus-unlearning:problem:idempotency-key-in-use"}


@pytest.mark.parametrize(
    "failure",
    [httpx2.ReadError("lost"), httpx2.Response(503), httpx2.Response(409, json=IN_USE)],
)
def test_what_creates_something_is_repeated_under_one_key(
    failure: httpx2.Response | Exception,
) -> None:
    lotus, seen = answering(failure, httpx2.Response(202, json=REQUEST))
    assert lotus.submit_erasure([Subject("anna")]).state == "received"
    keys = [request.headers["idempotency-key"] for request in seen]
    assert len(keys) == 2 and keys[0] == keys[1]
    assert seen[0].content == seen[1].content


def test_two_calls_that_create_something_have_two_keys() -> None:
    answer = httpx2.Response(202, json=REQUEST)
    lotus, seen = answering(answer, answer)
    for _ in range(2):
        lotus.submit_erasure([Subject("anna")])
    assert seen[0].headers["idempotency-key"] != seen[1].headers["idempotency-key"]


def test_a_conflict_is_not_repeated() -> None:
    taken = {**IN_USE, "type": "urn:lotus-unlearning:problem:external-id-taken"}
    lotus, seen = answering(httpx2.Response(409, json=taken))
    with pytest.raises(LotusProblem):
        lotus.submit_erasure([Subject("anna")], external_id="c-1")
    assert len(seen) == 1


def test_a_list_follows_its_cursors_to_the_end() -> None:
    first = {"items": [REQUEST], "next_cursor": "c1"}
    last = {"items": [{**REQUEST, "state": "completed"}], "next_cursor": None}
    lotus, seen = answering(httpx2.Response(200, json=first), httpx2.Response(200, json=last))
    states = [request.state for request in lotus.list_requests(limit=1)]
    assert states == ["received", "completed"]
    assert [dict(request.url.params) for request in seen] == [
        {"limit": "1"},
        {"limit": "1", "cursor": "c1"},
    ]


def test_pages_are_fetched_only_as_they_are_used() -> None:
    page = {"items": [REQUEST], "next_cursor": "c1"}
    lotus, seen = answering(httpx2.Response(200, json=page))
    assert next(lotus.list_requests()).state == "received"
    assert len(seen) == 1
