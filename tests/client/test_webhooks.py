import json

import httpx2

from client import Delivery, Webhook
from tests.client.service import answering

WEBHOOK = {
    "id": "whk_" + "0" * 32,
    "url": "https://receiver.example.org/hook",
    "events": None,
    "created_at": "2026-01-31T12:00:00Z",
    "disabled_at": None,
    "disabled_by": None,
    "previous_secret_until": None,
}
DELIVERY = {
    "id": "msg_" + "0" * 32,
    "webhook": WEBHOOK["id"],
    "request": None,
    "event": "webhook.ping",
    "state": "dead",
    "attempts": 12,
    "last_status": 500,
    "last_error": "status",
    "created_at": "2026-01-31T12:00:00Z",
    "ended_at": None,
}


def test_a_new_webhook_comes_with_its_secret() -> None:
    client, seen = answering(httpx2.Response(201, json={**WEBHOOK, "secret": "whsec_AA=="}))
    made = client.create_webhook("https://receiver.example.org/hook", events=["dataset.ready"])
    assert (made.secret, made.events) == ("whsec_AA==", None)
    assert seen[0].url.path == "/api/v1/webhooks"
    assert json.loads(seen[0].content) == {
        "url": "https://receiver.example.org/hook",
        "events": ["dataset.ready"],
    }


def test_webhooks_are_listed_and_removed() -> None:
    client, seen = answering(
        httpx2.Response(200, json={"items": [WEBHOOK], "next_cursor": None}),
        httpx2.Response(200, json=WEBHOOK),
    )
    assert list(client.list_webhooks()) == [Webhook.model_validate(WEBHOOK)]
    client.remove_webhook(str(WEBHOOK["id"]))
    assert (seen[1].method, seen[1].url.path) == ("DELETE", f"/api/v1/webhooks/{WEBHOOK['id']}")


def test_deliveries_are_asked_for_by_what_is_given() -> None:
    client, seen = answering(httpx2.Response(200, json={"items": [DELIVERY], "next_cursor": None}))
    found = list(client.list_deliveries(state="dead", request="req_1"))
    assert found == [Delivery.model_validate(DELIVERY)]
    assert dict(seen[0].url.params) == {"state": "dead", "request": "req_1"}


def test_a_secret_is_changed_with_the_overlap_that_is_given() -> None:
    made = httpx2.Response(200, json={**WEBHOOK, "secret": "whsec_AA=="})
    client, seen = answering(made, made)
    client.rotate_webhook_secret("whk_1")
    client.rotate_webhook_secret("whk_1", overlap_seconds=0)
    assert [json.loads(request.content) for request in seen] == [{}, {"overlap_seconds": 0}]


def test_a_message_is_replayed_by_its_id() -> None:
    client, seen = answering(httpx2.Response(202, json=DELIVERY))
    assert client.replay_delivery("msg_1").state == "dead"
    assert seen[0].url.path == "/api/v1/webhooks/deliveries/msg_1/replay"
