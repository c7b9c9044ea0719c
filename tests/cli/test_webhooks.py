"""`lotus webhooks` against a service that answers what the test has prepared."""

import json
from collections.abc import Callable

import httpx2
import pytest

from app.cli import webhooks
from tests.cli.conftest import Result
from tests.client.service import PROBLEM, answering
from tests.client.test_webhooks import DELIVERY, WEBHOOK

LotusHere = Callable[..., Result]
Service = Callable[..., list[httpx2.Request]]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    def answers(*prepared: httpx2.Response) -> list[httpx2.Request]:
        client, seen = answering(*prepared)
        monkeypatch.setattr(webhooks, "connect", lambda: client)
        return seen

    return answers


def page(*items: object) -> httpx2.Response:
    return httpx2.Response(200, json={"items": list(items), "next_cursor": None})


def test_create_shows_the_secret_on_a_line_of_its_own(
    service: Service, lotus_here: LotusHere
) -> None:
    seen = service(httpx2.Response(201, json={**WEBHOOK, "secret": "whsec_AA=="}))
    events = "erasure_request.completed, dataset.ready"
    result = lotus_here("webhooks", "create", str(WEBHOOK["url"]), "--events", events)
    assert result.code == 0
    assert result.out.splitlines()[-1] == "whsec_AA=="
    assert json.loads(seen[0].content)["events"] == ["erasure_request.completed", "dataset.ready"]


def test_list_shows_each_with_its_events(service: Service, lotus_here: LotusHere) -> None:
    disabled = {**WEBHOOK, "disabled_at": "2026-02-01T00:00:00Z", "disabled_by": "receiver"}
    service(page(disabled))
    result = lotus_here("webhooks", "list")
    assert result.code == 0
    assert "every event" in result.out and "disabled by receiver" in result.out


def test_deliveries_show_what_went_wrong(service: Service, lotus_here: LotusHere) -> None:
    seen = service(page(DELIVERY))
    result = lotus_here("webhooks", "deliveries", "--state", "dead")
    assert result.code == 0
    assert "webhook.ping" in result.out and "500" in result.out
    assert seen[0].url.params["state"] == "dead"


@pytest.mark.parametrize(
    ("arguments", "method", "path"),
    [
        (["remove", "whk_1"], "DELETE", "/whk_1"),
        (["test", "whk_1"], "POST", "/whk_1/test"),
        (["replay", "msg_1"], "POST", "/deliveries/msg_1/replay"),
    ],
)
def test_a_command_is_one_call(
    service: Service, lotus_here: LotusHere, arguments: list[str], method: str, path: str
) -> None:
    answer = WEBHOOK if arguments[0] == "remove" else DELIVERY
    seen = service(httpx2.Response(200, json=answer))
    result = lotus_here("webhooks", *arguments, "--json")
    assert (result.code, result.document["id"]) == (0, answer["id"])
    assert (seen[0].method, seen[0].url.path) == (method, f"/api/v1/webhooks{path}")


def test_rotate_sends_the_overlap(service: Service, lotus_here: LotusHere) -> None:
    seen = service(httpx2.Response(200, json={**WEBHOOK, "secret": "whsec_AA=="}))
    result = lotus_here("webhooks", "rotate", "whk_1", "--overlap", "0", "--json")
    assert result.document["secret"] == "whsec_AA=="
    assert json.loads(seen[0].content) == {"overlap_seconds": 0}


def test_a_refusal_ends_with_a_code_and_one_line(service: Service, lotus_here: LotusHere) -> None:
    service(httpx2.Response(422, json=PROBLEM))
    result = lotus_here("webhooks", "create", "http://127.0.0.1/")
    assert result.code == 1
    assert result.err.count("\n") == 1
