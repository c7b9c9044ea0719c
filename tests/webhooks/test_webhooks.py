"""`/webhooks` over HTTP: registering, secrets, trying, replaying, and who may."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from standardwebhooks import Webhook

from app.audit.tables import PendingEntry
from app.config import Settings
from app.ids import new_id
from app.keys.scopes import Scope
from app.main import create_app
from app.runtime import Runtime
from app.schema import metadata
from app.webhooks.tables import WebhookDelivery
from tests.erasure.conftest import Cases
from tests.erasure.working import Hand
from tests.webhooks.conftest import HOOKS, Office
from tests.webhooks.receiver import Receiver
from workers import duties

URL = "https://receiver.example.org/hook"


def entries(runtime: Runtime) -> list[tuple[str, dict[str, Any]]]:
    with runtime.database.read() as session:
        rows = session.execute(
            select(PendingEntry.kind, PendingEntry.body)
            .where(PendingEntry.kind.startswith("webhooks:"))
            .order_by(PendingEntry.id)
        ).all()
    return [(kind, json.loads(body)["facts"]) for kind, body in rows]


def test_a_webhook_is_registered_listed_and_removed(api: TestClient) -> None:
    answer = api.post(HOOKS, json={"url": URL, "events": ["dataset.ready"]})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    secret = made.pop("secret")
    assert secret.startswith("whsec_") and len(secret) == 6 + 44
    assert api.get(answer.headers["location"]).json() == made
    assert api.get(HOOKS).json()["items"] == [made]
    assert secret not in api.get(HOOKS).text
    assert api.delete(f"{HOOKS}/{made['id']}").json() == made
    assert api.get(HOOKS).json()["items"] == []
    assert api.get(f"{HOOKS}/{made['id']}").status_code == 404
    assert api.delete(f"{HOOKS}/{made['id']}").status_code == 404


def test_the_secret_is_sealed_and_bound_to_its_endpoint(api: TestClient, runtime: Runtime) -> None:
    import base64

    from app.webhooks.secrets import SecretUnreadable, new_secret, seal, unseal

    made = api.post(HOOKS, json={"url": URL}).json()
    raw = base64.b64decode(made["secret"].removeprefix("whsec_"))
    with runtime.database.read() as session:
        rows = [row for table in metadata.sorted_tables for row in session.execute(select(table))]
    assert len(rows) > 3
    assert made["secret"] not in repr(rows) and not any(raw in row for row in map(bytes_of, rows))
    one, other = new_id(), new_id()
    secret = new_secret()
    sealed = seal(runtime.keyring, one, secret)
    assert unseal(runtime.keyring, one, sealed) == secret
    assert seal(runtime.keyring, one, secret) != sealed
    for endpoint, changed in ((other, sealed), (one, sealed[:-1] + bytes([sealed[-1] ^ 1]))):
        with pytest.raises(SecretUnreadable):
            unseal(runtime.keyring, endpoint, changed)


def bytes_of(row: Any) -> bytes:
    return b"".join(value for value in row if isinstance(value, bytes))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.url"),
        ({"url": ""}, "body.url"),
        ({"url": 7}, "body.url"),
        ({"url": "http://secret.example.org/"}, "url"),
        ({"url": "https://127.0.0.1/secret"}, "url"),
        ({"url": "https://localhost/secret"}, "url"),
        ({"url": "https://user:secret@example.org/"}, "url"),
        ({"url": "https://example.org/" + "secret" * 200}, "body.url"),
        ({"url": URL, "events": ["secret"]}, "body.events.0"),
        ({"url": URL, "events": []}, "body.events"),
        ({"url": URL, "secret": "secret"}, "body"),
    ],
)
def test_a_faulty_webhook_is_refused_by_field_and_never_repeated(
    api: TestClient, body: dict[str, Any], field: str
) -> None:
    answer = api.post(HOOKS, json=body)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "secret" not in answer.text.replace("body.secret", "")
    assert api.get(HOOKS).json()["items"] == []


def test_a_url_is_registered_once_and_again_after_its_removal(api: TestClient) -> None:
    made = api.post(HOOKS, json={"url": URL}).json()
    answer = api.post(HOOKS, json={"url": URL.replace("receiver", "RECEIVER")})
    assert (answer.status_code, answer.json()["type"][-10:]) == (409, ":url-taken")
    api.delete(f"{HOOKS}/{made['id']}")
    assert api.post(HOOKS, json={"url": URL}).status_code == 201


def test_a_controller_has_twenty_webhooks_at_most(api: TestClient) -> None:
    for number in range(20):
        assert api.post(HOOKS, json={"url": f"{URL}/{number}"}).status_code == 201
    answer = api.post(HOOKS, json={"url": URL})
    assert answer.json()["type"].endswith(":too-many-webhooks")


CALLS = [
    ("POST", ""),
    ("GET", ""),
    ("GET", "/{id}"),
    ("DELETE", "/{id}"),
    ("POST", "/{id}/rotate-secret"),
    ("POST", "/{id}/test"),
    ("POST", "/{id}/disable"),
    ("POST", "/{id}/enable"),
    ("GET", "/deliveries"),
    ("GET", "/deliveries/{message}"),
    ("POST", "/deliveries/{message}/replay"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_each_call_needs_the_scope(
    api: TestClient, make_key: Callable[..., str], method: str, path: str
) -> None:
    others = [each for each in Scope if each is not Scope.WEBHOOKS_ADMIN]
    headers = {"Authorization": f"Bearer {make_key(*others)}"}
    path = path.format(id=f"whk_{new_id().hex}", message=f"msg_{new_id().hex}")
    answer = api.request(method, HOOKS + path, json={"url": URL}, headers=headers)
    assert answer.status_code == 403
    assert "webhooks:admin" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if "{" in call[1]])
def test_another_controller_s_webhook_is_answered_like_an_unknown_one(
    api: TestClient, make_key: Callable[..., str], method: str, path: str
) -> None:
    made = api.post(HOOKS, json={"url": URL}).json()
    message = api.post(f"{HOOKS}/{made['id']}/test").json()["id"]
    headers = {"Authorization": f"Bearer {make_key(controller='other')}"}

    def ask(id: str, message: str) -> tuple[int, Any]:
        url = HOOKS + path.format(id=id, message=message)
        answer = api.request(method, url, json={} if "rotate" in path else None, headers=headers)
        return answer.status_code, answer.json()

    foreign = ask(made["id"], message)
    assert foreign == ask(f"whk_{new_id().hex}", f"msg_{new_id().hex}")
    assert foreign[0] == 404


def test_a_ping_is_sent_whatever_the_webhook_subscribes_to(
    office: Office, receiver: Receiver
) -> None:
    made = office.register(receiver.url(), events=["dataset.ready"])
    answer = office.api.post(f"{HOOKS}/{made['id']}/test")
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    office.send()
    (seen,) = receiver.seen
    body = Webhook(made["secret"]).verify(seen.body, seen.headers)
    assert (body["type"], body["data"]) == ("webhook.ping", {"webhook": made["id"]})
    shown = office.api.get(f"{HOOKS}/deliveries/{answer.json()['id']}").json()
    assert (shown["state"], shown["last_status"]) == ("delivered", 204)
    office.api.post(f"{HOOKS}/{made['id']}/disable")
    refused = office.api.post(f"{HOOKS}/{made['id']}/test")
    assert refused.json()["type"].endswith(":webhook-disabled")


def test_deliveries_are_filtered_and_paged(
    office: Office, receiver: Receiver, cases: Cases
) -> None:
    one, two = office.register(receiver.url("/one")), office.register(receiver.url("/two"))
    first, second = cases.submit("ada"), cases.submit("ben")
    receiver.answers = [500] * 4
    office.send()
    cases.submit("cleo")
    assert len(office.deliveries()) == 6
    assert {row["request"] for row in office.deliveries(request=first)} == {first}
    assert [row["request"] for row in office.deliveries(webhook=one["id"])][:2] == [first, second]
    assert len(office.deliveries(webhook=two["id"], state="waiting")) == 3
    assert office.deliveries(state="dead") == []
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 4, **({"cursor": cursor} if cursor else {})}
        page = office.api.get(f"{HOOKS}/deliveries", params=query).json()
        seen += [row["id"] for row in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [row["id"] for row in office.deliveries()][::-1]


def test_a_dead_message_can_be_replayed_under_the_same_id(
    office: Office, receiver: Receiver, cases: Cases
) -> None:
    office.register(receiver.url())
    cases.submit("ada")
    receiver.answers = [500] * 3
    office.send_until_it_ends()
    (dead,) = office.deliveries(state="dead")
    replayed = office.api.post(f"{HOOKS}/deliveries/{dead['id']}/replay")
    assert (replayed.status_code, replayed.json()["state"]) == (202, "waiting")
    office.send()
    assert office.states() == ["delivered"]
    assert len({seen.headers["webhook-id"] for seen in receiver.seen}) == 1
    assert len({seen.body for seen in receiver.seen}) == 1
    again = office.api.post(f"{HOOKS}/deliveries/{dead['id']}/replay")
    assert again.status_code == 202  # a receiver may have lost what it was given
    office.send()
    assert len(receiver.seen) == 5


def test_what_waits_is_not_replayed(office: Office, receiver: Receiver, cases: Cases) -> None:
    office.register(receiver.url())
    cases.submit("ada")
    (row,) = office.deliveries()
    answer = office.api.post(f"{HOOKS}/deliveries/{row['id']}/replay")
    assert (answer.status_code, answer.json()["type"][-15:]) == (409, ":delivery-waits")


def test_an_older_message_is_not_replayed_after_a_newer_one(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand
) -> None:
    office.register(receiver.url())
    cases.submit("ada")
    hand.claim(datetime.now(UTC))
    office.send()
    older, newer = office.deliveries()
    answer = office.api.post(f"{HOOKS}/deliveries/{older['id']}/replay")
    assert (answer.status_code, answer.json()["type"][-14:]) == (409, ":newer-message")
    assert office.api.post(f"{HOOKS}/deliveries/{newer['id']}/replay").status_code == 202


def test_two_dead_messages_are_replayed_in_their_order(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand
) -> None:
    office.register(receiver.url())
    cases.submit("ada")
    hand.claim(datetime.now(UTC))
    receiver.answers = [500] * 12
    office.send_until_it_ends()
    office.send_until_it_ends()
    assert office.states() == ["dead", "dead"]
    receiver.answers.clear()
    older, newer = office.deliveries()
    for row in (older, newer):
        assert office.api.post(f"{HOOKS}/deliveries/{row['id']}/replay").status_code == 202
    assert office.states() == ["waiting", "queued"]
    receiver.seen.clear()
    office.send()
    sent = [seen.headers["webhook-id"] for seen in receiver.seen]
    assert sent == [older["id"], newer["id"]]


def test_nothing_is_replayed_to_a_receiver_that_is_gone(
    office: Office, receiver: Receiver, cases: Cases
) -> None:
    made = office.register(receiver.url())
    cases.submit("ada")
    office.send()
    (row,) = office.deliveries()
    for end in (("POST", "/disable"), ("DELETE", "")):
        office.api.request(end[0], f"{HOOKS}/{made['id']}{end[1]}")
        answer = office.api.post(f"{HOOKS}/deliveries/{row['id']}/replay")
        assert (answer.status_code, answer.json()["type"][-14:]) == (409, ":receiver-gone")


def test_changes_of_webhooks_are_in_the_audit_log_without_their_urls(
    api: TestClient, runtime: Runtime
) -> None:
    made = api.post(HOOKS, json={"url": URL}).json()
    path = f"{HOOKS}/{made['id']}"
    for _ in range(2):  # a repeat changes nothing, and is not logged
        api.post(f"{path}/disable")
    for _ in range(2):
        api.post(f"{path}/enable")
    api.post(f"{path}/rotate-secret", json={})
    api.delete(path)
    found = entries(runtime)
    assert [kind for kind, _ in found] == [
        "webhooks:endpoint:created",
        "webhooks:endpoint:disabled",
        "webhooks:endpoint:enabled",
        "webhooks:secret:rotated",
        "webhooks:endpoint:removed",
    ]
    assert {facts["webhook"] for _, facts in found} == {made["id"]}
    assert all(facts["actor"].startswith("key_") for _, facts in found)
    assert "receiver" not in str(found).replace("'receiver'", "") and "whsec" not in str(found)


def test_records_of_what_ended_are_forgotten_after_a_time(
    office: Office, receiver: Receiver, cases: Cases, runtime: Runtime
) -> None:
    made = office.register(receiver.url())
    cases.submit("ada")
    office.send()
    office.api.delete(f"{HOOKS}/{made['id']}")
    keeping = office.register(receiver.url())
    receiver.answers = [500]
    cases.submit("ben")
    office.send()
    month = timedelta(days=runtime.settings.callback_days)
    duties.clear(runtime, office.now + month - timedelta(hours=1))
    assert len(office.deliveries()) == 2
    duties.clear(runtime, office.now + month + timedelta(hours=1))
    assert [row["webhook"] for row in office.deliveries()] == [keeping["id"]]
    with runtime.database.read() as session:
        assert len(session.scalars(select(WebhookDelivery)).all()) == 1


def test_plain_http_to_this_machine_can_be_registered_where_the_setting_allows_it(
    api: TestClient, settings: Settings
) -> None:
    url = "http://127.0.0.1:9000/hook"
    assert api.post(HOOKS, json={"url": url}).status_code == 422
    open_ = settings.model_copy(update={"callbacks_http_loopback": True})
    with TestClient(create_app(open_), headers=dict(api.headers)) as other:
        assert other.post(HOOKS, json={"url": url}).status_code == 201


def test_no_line_of_the_log_names_a_url_or_a_secret(
    office: Office, receiver: Receiver, cases: Cases, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "lotus")
    made = office.register(receiver.url("/unmistakable"))
    receiver.answers = [500] * 4
    cases.submit("ada")
    office.send_until_it_ends()
    said = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "callback not delivered" in said
    assert "unmistakable" not in said and made["secret"][6:] not in said
