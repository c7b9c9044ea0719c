"""From a change of a request to a receiver: what is sent, in what order, and what failures do."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, select, update
from standardwebhooks import Webhook, WebhookVerificationError

from app.audit.tables import PendingEntry
from app.erasure.tables import ErasureRequest
from app.runtime import Runtime
from app.webhooks import delivering, retries
from app.webhooks.events import EventType
from app.webhooks.sending import Result
from app.webhooks.tables import (
    DeliveryError,
    DeliveryState,
    WebhookDelivery,
    WebhookEndpoint,
)
from app.webhooks.telling import emit
from tests.erasure.conftest import Cases
from tests.erasure.factories import submission
from tests.erasure.working import Hand
from tests.webhooks.conftest import HOOKS, Office
from tests.webhooks.receiver import Receiver, status
from workers import duties
from workers.courier import Courier

REQUESTS = "/api/v1/erasure-requests"


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(seen.body) for seen in receiver.seen]


def types(receiver: Receiver) -> list[str]:
    return [body["type"] for body in bodies(receiver)]


def finish(hand: Hand) -> None:
    now = datetime.now(UTC)
    hand.publish(hand.must_claim(now), now)


def test_each_change_of_a_request_is_told_in_order(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand
) -> None:
    office.register(receiver.url())
    request = cases.submit("ada", external_id="case-17")
    finish(hand)
    office.send()
    told = bodies(receiver)
    assert [body["type"] for body in told] == [
        "erasure_request.scheduled",
        "erasure_request.running",
        "erasure_request.completed",
        "certificate.written",
    ]
    assert [body["data"].get("state") for body in told[:3]] == ["scheduled", "running", "completed"]
    versions = [body["data"]["version"] for body in told[:3]]
    assert versions == sorted(set(versions))
    completed, written = told[2]["data"], told[3]["data"]
    now = cases.get(request)
    assert (completed["id"], completed["outcome"]) == (request, "unlearned")
    assert (completed["previous_state"], completed["cause"]) == ("running", "published")
    assert written == {
        "id": now["certificate"]["id"],
        "payload_sha256": now["certificate"]["payload_sha256"],
        "replaces": None,
        "request": request,
    }
    assert office.states() == ["delivered"] * 4


def test_a_message_holds_no_identity_and_no_case_number(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand
) -> None:
    office.register(receiver.url())
    cases.submit("ada", "ben", external_id="unmistakable-17")
    finish(hand)
    office.send()
    sent = b"".join(seen.body for seen in receiver.seen).decode()
    assert len(receiver.seen) == 4
    # Whole words: a digest may hold the letters of a short name.
    words = set(re.split(r"\W+", sent))
    assert "scheduled" in words
    assert not words & {"ada", "ben", "unmistakable", "customer"}


def test_a_receiver_can_verify_the_very_bytes(
    office: Office, receiver: Receiver, cases: Cases
) -> None:
    secret = office.register(receiver.url())["secret"]
    cases.submit("ada")
    office.send()
    (seen,) = receiver.seen
    assert Webhook(secret).verify(seen.body, seen.headers) == json.loads(seen.body)
    for changed in (seen.body + b" ", seen.body.replace(b"scheduled", b"completed")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(changed, seen.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(seen.body, {**seen.headers, "webhook-id": "msg_other"})


def test_during_an_overlap_old_and_new_secret_both_verify(
    office: Office, receiver: Receiver, cases: Cases
) -> None:
    made = office.register(receiver.url())
    rotated = office.api.post(f"{HOOKS}/{made['id']}/rotate-secret", json={"overlap_seconds": 600})
    secrets = [made["secret"], rotated.json()["secret"]]
    cases.submit("ada")
    office.send()
    (seen,) = receiver.seen
    for secret in secrets:
        Webhook(secret).verify(seen.body, seen.headers)
    assert len(seen.headers["webhook-signature"].split()) == 2


def test_after_the_overlap_the_new_secret_alone_verifies(
    office: Office, receiver: Receiver, cases: Cases
) -> None:
    made = office.register(receiver.url())
    new = office.api.post(f"{HOOKS}/{made['id']}/rotate-secret", json={"overlap_seconds": 0}).json()
    cases.submit("ada")
    office.send()
    (seen,) = receiver.seen
    Webhook(new["secret"]).verify(seen.body, seen.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(made["secret"]).verify(seen.body, seen.headers)


def test_a_failure_is_tried_again_with_the_same_id_and_the_same_bytes(
    office: Office, receiver: Receiver, cases: Cases
) -> None:
    office.register(receiver.url())
    request = cases.submit("ada")
    receiver.answers = [500, 500, 500]
    for _ in range(4):
        office.send(timedelta(hours=7))
    assert len(receiver.seen) == 4
    assert len({seen.headers["webhook-id"] for seen in receiver.seen}) == 1
    assert len({seen.body for seen in receiver.seen}) == 1
    times = [int(seen.headers["webhook-timestamp"]) for seen in receiver.seen]
    assert times == sorted(set(times))
    (row,) = office.deliveries()
    assert (row["state"], row["attempts"], row["last_status"]) == ("delivered", 4, 204)
    assert cases.state(request) == "scheduled"


def test_nothing_newer_is_sent_before_what_is_older(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand
) -> None:
    office.register(receiver.url())
    cases.submit("ada")
    receiver.answers = [500, 503, status(302, Location="https://elsewhere.example/")]
    office.send()
    finish(hand)
    for _ in range(3):
        office.send(timedelta(hours=7))
    assert types(receiver) == [
        *["erasure_request.scheduled"] * 4,
        "erasure_request.running",
        "erasure_request.completed",
        "certificate.written",
    ]


def test_another_request_does_not_wait_for_it(
    office: Office, receiver: Receiver, cases: Cases
) -> None:
    office.register(receiver.url())
    receiver.answers = [500]
    first = cases.submit("ada")
    office.send()
    second = cases.submit("ben")
    office.send(timedelta(0))
    assert [body["data"]["id"] for body in bodies(receiver)][:2] == [first, second]


def test_after_three_days_a_message_is_given_up_and_the_next_goes_on(
    office: Office, receiver: Receiver, cases: Cases, runtime: Runtime
) -> None:
    office.register(receiver.url("/unmistakable"))
    request = cases.submit("ada")
    receiver.answers = [500] * 4
    office.send()
    cases.cancel(request)
    office.send_until_it_ends()
    assert types(receiver) == [
        *["erasure_request.scheduled"] * 4,
        "erasure_request.cancelled",
    ]
    assert office.states() == ["dead", "delivered"]
    with runtime.database.read() as session:
        entries = session.scalars(
            select(PendingEntry.body).where(PendingEntry.kind == "webhooks:delivery:dead")
        ).all()
    (facts,) = [json.loads(entry)["facts"] for entry in entries]
    assert facts["request"] == request
    assert (facts["attempts"], facts["error"], facts["status"]) == (4, "status", 500)
    assert b"unmistakable" not in entries[0]
    assert cases.state(request) == "cancelled"


def test_410_disables_the_endpoint_and_stops_what_waits(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand
) -> None:
    made = office.register(receiver.url())
    receiver.answers = [410]
    cases.submit("ada")
    finish(hand)
    office.send()
    office.send_until_it_ends()
    assert len(receiver.seen) == 1
    assert office.states() == ["stopped"] * 4
    shown = office.api.get(f"{HOOKS}/{made['id']}").json()
    assert shown["disabled_by"] == "receiver"
    cases.submit("ben")
    assert len(office.deliveries()) == 4
    office.api.post(f"{HOOKS}/{made['id']}/enable")
    cases.submit("cleo")
    office.send()
    assert types(receiver)[1:] == ["erasure_request.scheduled"]


@pytest.mark.parametrize("action", ["disable", "remove"])
def test_what_is_no_longer_wanted_is_not_sent(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand, action: str
) -> None:
    made = office.register(receiver.url())
    cases.submit("ada")
    finish(hand)
    if action == "disable":
        office.api.post(f"{HOOKS}/{made['id']}/disable")
    else:
        office.api.delete(f"{HOOKS}/{made['id']}")
    office.send()
    assert receiver.seen == []
    assert office.states() == ["stopped"] * 4


def test_a_message_queued_while_its_endpoint_was_being_disabled_is_not_sent(
    office: Office, receiver: Receiver, cases: Cases, runtime: Runtime
) -> None:
    office.register(receiver.url())
    cases.submit("ada")
    with runtime.database.write() as session:  # as if the transaction had not seen the message
        session.execute(update(WebhookEndpoint).values(disabled_at=office.now))
    office.send()
    assert (receiver.seen, office.states()) == ([], ["stopped"])


def test_disabling_waits_for_no_change_that_is_being_told(
    office: Office, receiver: Receiver, cases: Cases, runtime: Runtime
) -> None:
    """Each would hold what the other wants: a publication must not end as a deadlock's victim."""
    if runtime.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    made = office.register(receiver.url())
    request = cases.submit("ada")
    with runtime.database.write() as session:
        row = session.get_one(ErasureRequest, UUID(hex=request[4:]))
        emit(
            session,
            row.controller_id,
            EventType.REQUEST_RUNNING,
            {},
            request_id=row.id,
            now=datetime.now(UTC),
        )
        assert office.api.post(f"{HOOKS}/{made['id']}/disable").status_code == 200
    assert office.states() == ["waiting", "queued"]
    office.send()
    assert (receiver.seen, office.states()) == ([], ["stopped", "stopped"])


def test_a_message_that_lost_those_in_front_of_it_unseen_is_called_up(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    office.register(receiver.url())
    cases.submit("ada")
    finish(hand)
    with runtime.database.write() as session:  # stopped while another transaction held the rest
        session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.state == DeliveryState.WAITING)
            .values(state=DeliveryState.STOPPED, ended_at=office.now)
        )
    office.send()
    assert receiver.seen == []
    duties.clear(runtime, office.now)
    office.send()
    assert office.states() == ["stopped", *["delivered"] * 3]
    assert types(receiver)[0] == "erasure_request.running"


def test_an_endpoint_hears_what_it_subscribed_to(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand
) -> None:
    office.register(receiver.url(), events=["erasure_request.completed", "dataset.ready"])
    cases.submit("ada")
    finish(hand)
    office.send()
    assert types(receiver) == ["erasure_request.completed"]


def test_another_controller_hears_nothing(
    office: Office, receiver: Receiver, cases: Cases, make_key: Callable[..., str]
) -> None:
    foreign = {"Authorization": f"Bearer {make_key(controller='other')}"}
    office.api.post(HOOKS, json={"url": receiver.url()}, headers=foreign)
    cases.submit("ada")
    office.send()
    assert receiver.seen == []
    assert office.deliveries() == []


def test_a_secret_that_cannot_be_read_any_more_is_a_failure_and_no_crash(
    office: Office, receiver: Receiver, cases: Cases, runtime: Runtime
) -> None:
    office.register(receiver.url())
    with runtime.database.write() as session:
        session.execute(update(WebhookEndpoint).values(secret=b"x" * 60))
    cases.submit("ada")
    office.send()
    (row,) = office.deliveries()
    assert (row["state"], row["last_error"]) == ("waiting", "secret_unreadable")


def test_two_workers_never_send_the_same_message(
    office: Office, receiver: Receiver, cases: Cases, runtime: Runtime
) -> None:
    office.register(receiver.url())
    for who in ("ada", "ben", "cleo"):
        for _ in range(5):
            cases.submit(who)
    office.now = datetime.now(UTC) + timedelta(seconds=1)
    couriers = [Courier(runtime, office.network, lambda: office.now) for _ in range(3)]

    def work(courier: Courier) -> None:
        for _ in range(20):
            courier.send_due()
            courier.wait()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, couriers))
    for courier in couriers:
        courier.stop()
    ids = [seen.headers["webhook-id"] for seen in receiver.seen]
    assert (len(ids), len(set(ids))) == (15, 15)
    assert set(office.states()) == {"delivered"}


def test_a_host_is_called_by_few_at_once(office: Office, receiver: Receiver, cases: Cases) -> None:
    office.register(receiver.url())
    for _ in range(12):
        cases.submit("ada")
    import time

    receiver.answers = [lambda handler: time.sleep(0.3) or status(204)(handler)] * 12
    office.send()
    assert len(receiver.seen) == 12
    assert 1 < receiver.most_at_once <= delivering.MOST_PER_HOST


def test_a_worker_that_died_leaves_its_message_to_the_next_when_the_lease_ends(
    office: Office, receiver: Receiver, cases: Cases, runtime: Runtime
) -> None:
    office.register(receiver.url())
    cases.submit("ada")
    now = datetime.now(UTC) + timedelta(seconds=1)
    with runtime.database.write() as session:
        (held,) = delivering.claim(session, most=10, now=now)
        assert delivering.claim(session, most=10, now=now) == []
    office.send(timedelta(seconds=30))
    assert receiver.seen == []
    office.send(delivering.LEASE)
    assert len(receiver.seen) == 1
    with runtime.database.write() as session:  # and the one that died speaks up after all
        late = Result(500, DeliveryError.STATUS)
        assert (
            delivering.note(session, runtime.keyring, held, late, now=now, random=lambda: 1.0)
            is None
        )
    assert office.states() == ["delivered"]


def test_after_a_restore_nobody_is_told_anything_until_a_person_says_go(
    office: Office, receiver: Receiver, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.register(receiver.url())
    cases.submit("ada")
    monkeypatch.setattr("workers.courier.is_paused", lambda session: True)
    office.send()
    assert receiver.seen == []
    monkeypatch.undo()
    office.send()
    assert len(receiver.seen) == 1


def test_pauses_double_with_full_jitter_and_end_with_the_time() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    end = now + timedelta(hours=72)

    def pause(failures: int, drawn: float, asked: float | None = None) -> float:
        wait = None if asked is None else timedelta(seconds=asked)
        at = retries.next_attempt(failures, wait, now=now, give_up_at=end, random=lambda: drawn)
        assert at is not None
        return (at - now).total_seconds()

    assert [pause(n, 1.0) for n in (1, 2, 3, 4)] == [5, 10, 20, 40]
    assert [pause(n, 1.0) for n in (13, 14, 500)] == [20480, 21600, 21600]
    assert (pause(4, 0.5), pause(4, 0.0)) == (20, 1)
    assert (pause(1, 1.0, 60), pause(1, 1.0, 10**9), pause(4, 1.0, 1)) == (60, 21600, 40)
    soon = now + timedelta(seconds=3)
    draw = {"random": lambda: 1.0}
    assert retries.next_attempt(9, None, now=now, give_up_at=soon, **draw) == soon
    assert retries.next_attempt(9, None, now=soon, give_up_at=soon, **draw) is None


def test_a_change_that_nobody_listens_to_costs_one_look_up(
    api: TestClient, cases: Cases, runtime: Runtime, hand: Hand
) -> None:
    seen: list[str] = []
    cases.submit("ada")
    now = datetime.now(UTC)
    fence = hand.must_claim(now)
    event.listen(
        runtime.database.engine,
        "before_cursor_execute",
        lambda connection, cursor, statement, *_: seen.append(statement),
    )
    hand.publish(fence, now)
    about = [statement for statement in seen if "webhook" in statement or "callback" in statement]
    assert len(about) == 2  # completed, and its certificate
    with runtime.database.read() as session:
        assert session.scalars(select(WebhookDelivery.id)).all() == []


def test_a_change_that_is_rolled_back_is_told_to_nobody(
    office: Office, receiver: Receiver, cases: Cases
) -> None:
    office.register(receiver.url())
    body = submission("ada", callback_urls=["https://elsewhere.example.org/hook"])
    assert office.api.post(REQUESTS, json=body).status_code == 422
    office.send()
    assert (receiver.seen, office.deliveries()) == ([], [])
