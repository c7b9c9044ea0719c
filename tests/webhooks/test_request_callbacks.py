"""Receivers that one request names for itself."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from standardwebhooks import Webhook

from app.erasure import closing
from app.erasure.closing_tables import Destruction
from app.erasure.tables import ErasureRequest
from app.registry.tables import Artifact, ArtifactState
from app.runtime import Runtime
from app.webhooks.tables import RequestCallback
from tests.erasure.conftest import Cases
from tests.erasure.factories import submission
from tests.erasure.working import Hand
from tests.webhooks.conftest import HOOKS, Office
from tests.webhooks.receiver import Receiver
from workers import duties

REQUESTS = "/api/v1/erasure-requests"


def sent_to(receiver: Receiver, path: str) -> list[str]:
    return [json.loads(seen.body)["type"] for seen in receiver.seen if seen.path == path]


def urls(runtime: Runtime) -> list[str | None]:
    with runtime.database.read() as session:
        return list(session.scalars(select(RequestCallback.url).order_by(RequestCallback.id)))


def complete(hand: Hand) -> None:
    now = datetime.now(UTC)
    hand.publish(hand.must_claim(now), now)


def close(runtime: Runtime, at: datetime) -> None:
    """The case is closed, and no file keeps it from its last certificate."""
    with runtime.database.write() as session:
        (case,) = closing.due(session, at, closed=False)
        assert closing.close(
            session, runtime.keyring, case, suppressed_for=timedelta(days=1), now=at
        )
    with runtime.database.write() as session:  # as the workers do, who hold the files
        for destruction in session.scalars(select(Destruction)):
            if destruction.sha256 is not None:
                artifact = session.get_one(Artifact, destruction.sha256)
                artifact.state, artifact.destroyed_at = ArtifactState.DESTROYED, at
                destruction.rewritten_as = destruction.sha256
    with runtime.database.write() as session:
        assert closing.finish(session, case, now=at)


def test_a_request_s_own_receiver_hears_of_it_alone_signed_with_the_endpoint_s_secret(
    office: Office, receiver: Receiver, cases: Cases
) -> None:
    made = office.register(receiver.url("/all"), events=["dataset.ready"])
    named = cases.submit("ada", callback_urls=[receiver.url("/case?id=17")])
    cases.submit("ben")
    office.send()
    (seen,) = receiver.seen
    assert seen.path == "/case?id=17"
    assert Webhook(made["secret"]).verify(seen.body, seen.headers)["data"]["id"] == named
    (row,) = office.deliveries()
    assert (row["named_by_request"], row["request"]) == (True, named)


def test_a_url_that_is_an_endpoint_s_own_is_told_once(
    office: Office, receiver: Receiver, cases: Cases
) -> None:
    office.register(receiver.url("/all"))
    cases.submit("ada", callback_urls=[receiver.url("/all"), receiver.url("/all")])
    office.send()
    assert sent_to(receiver, "/all") == ["erasure_request.scheduled"]


def test_it_is_told_of_this_request_even_if_it_did_not_subscribe(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand
) -> None:
    office.register(receiver.url("/all"), events=["erasure_request.running"])
    cases.submit("ada", callback_urls=[receiver.url("/all")])
    complete(hand)
    cases.submit("ben")
    office.send()
    assert sent_to(receiver, "/all") == [
        "erasure_request.scheduled",
        "erasure_request.running",
        "erasure_request.completed",
        "certificate.written",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example.org/hook",
        "https://receiver.example.org.evil.example/hook",
        "https://receiver.example.org:8443/hook",
        "http://receiver.example.org/hook",
        "https://receiver.example.org@evil.example/",
        "https://127.0.0.1/",
        "not a url",
    ],
)
def test_a_url_away_from_every_registered_endpoint_is_refused(
    office: Office, cases: Cases, runtime: Runtime, url: str
) -> None:
    office.register("https://receiver.example.org/hook")
    good = "https://receiver.example.org/other"
    answer = office.api.post(REQUESTS, json=submission("ada", callback_urls=[good, url]))
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["type"].endswith(":callback-url-refused")
    assert [error["field"] for error in problem["errors"]] == ["callback_urls.1"]
    assert "evil" not in answer.text and "elsewhere" not in answer.text
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ErasureRequest)) == 0


@pytest.mark.parametrize("given", [[], [""], ["https://receiver.example.org/"] * 6, "x", [7]])
def test_a_faulty_list_is_refused(office: Office, cases: Cases, given: Any) -> None:
    office.register("https://receiver.example.org/hook")
    answer = office.api.post(REQUESTS, json=submission("ada", callback_urls=given))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("body.callback_urls")


@pytest.mark.parametrize("gone", ["another controller's", "disabled", "removed"])
def test_an_endpoint_that_does_not_count_allows_nothing(
    office: Office, cases: Cases, make_key: Callable[..., str], gone: str
) -> None:
    headers = {}
    if gone == "another controller's":
        headers = {"Authorization": f"Bearer {make_key(controller='other')}"}
    url = "https://receiver.example.org/hook"
    made = office.api.post(HOOKS, json={"url": url}, headers=headers).json()
    if gone == "disabled":
        office.api.post(f"{HOOKS}/{made['id']}/disable")
    if gone == "removed":
        office.api.delete(f"{HOOKS}/{made['id']}")
    answer = office.api.post(REQUESTS, json=submission("ada", callback_urls=[url]))
    assert answer.status_code == 422


def test_410_ends_this_receiver_and_leaves_the_endpoint_alone(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    office.register(receiver.url("/all"), events=["dataset.ready"])
    receiver.answers = [410]
    cases.submit("ada", callback_urls=[receiver.url("/case")])
    complete(hand)
    office.send()
    office.send_until_it_ends()
    assert len(receiver.seen) == 1
    assert urls(runtime) == [None]
    cases.submit("ben", callback_urls=[receiver.url("/case")])
    office.send()
    assert sent_to(receiver, "/case") == ["erasure_request.scheduled"] * 2


def test_when_the_case_closes_its_receiver_is_told_and_its_url_is_cut(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    office.register(receiver.url("/all"), events=["dataset.ready"])
    cases.submit("ada", callback_urls=[receiver.url("/unmistakable")])
    complete(hand)
    office.send()
    close(runtime, datetime.now(UTC) + timedelta(days=8))
    assert urls(runtime) == [receiver.url("/unmistakable")]  # two messages still wait for it
    office.send(timedelta(days=8))
    assert sent_to(receiver, "/unmistakable")[-2:] == [
        "erasure_request.closed",
        "certificate.written",
    ]
    assert urls(runtime) == [None]
    last = office.deliveries()[-1]
    answer = office.api.post(f"{HOOKS}/deliveries/{last['id']}/replay")
    assert answer.json()["type"].endswith(":receiver-gone")


def test_the_receiver_of_a_refused_request_hears_of_its_certificate_last(
    office: Office, receiver: Receiver, cases: Cases, runtime: Runtime
) -> None:
    office.register(receiver.url("/all"), events=["dataset.ready"])
    request = cases.submit("ada", callback_urls=[receiver.url("/unmistakable")])
    assert cases.refuse(request).status_code == 202
    office.send()
    assert sent_to(receiver, "/unmistakable")[-2:] == [
        "erasure_request.refused",
        "certificate.written",
    ]
    assert urls(runtime) == [None]


@pytest.mark.parametrize("customer", ["ada", "nobody"])
def test_when_nothing_waits_the_url_is_cut_as_the_case_ends(
    office: Office, receiver: Receiver, cases: Cases, runtime: Runtime, customer: str
) -> None:
    office.register(receiver.url("/all"), events=["dataset.ready"])
    request = cases.submit(customer, callback_urls=[receiver.url("/unmistakable")])
    office.send()
    if customer == "ada":
        cases.cancel(request)
    else:
        close(runtime, datetime.now(UTC) + timedelta(days=8))
    office.send(timedelta(days=8))
    assert urls(runtime) == [None]


def test_a_url_that_was_left_uncut_is_cut_by_the_clearing(
    office: Office, receiver: Receiver, cases: Cases, runtime: Runtime
) -> None:
    office.register(receiver.url("/all"), events=["dataset.ready"])
    cases.submit("ada", callback_urls=[receiver.url("/unmistakable")])
    office.send()
    with runtime.database.write() as session:  # two transactions that did not see each other
        session.scalars(select(RequestCallback)).one().ended_at = datetime.now(UTC)
    duties.clear(runtime, datetime.now(UTC))
    assert urls(runtime) == [None]


def test_removing_the_endpoint_ends_the_receivers_at_its_origin(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    made = office.register(receiver.url("/all"), events=["dataset.ready"])
    cases.submit("ada", callback_urls=[receiver.url("/case")])
    office.api.delete(f"{HOOKS}/{made['id']}")
    complete(hand)
    office.send()
    assert (receiver.seen, urls(runtime), office.states()) == ([], [None], ["stopped"])


def test_the_same_request_sent_twice_names_its_receivers_once(
    office: Office, receiver: Receiver, cases: Cases, api: TestClient
) -> None:
    office.register(receiver.url("/all"), events=["dataset.ready"])
    body = submission("ada", external_id="once", callback_urls=[receiver.url("/case")])
    assert {api.post(REQUESTS, json=body).status_code for _ in range(2)} == {202}
    office.send()
    assert sent_to(receiver, "/case") == ["erasure_request.scheduled"]
