from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from app import migrate
from app.audit import kinds
from app.audit.log import append
from app.audit.sequencer import sequence
from app.canonical import canonical_json
from app.config import Settings
from app.http.pages import encode_cursor
from app.ids import controller_id, new_id, request_id
from app.keys.scopes import Scope
from app.keys.service import create_key, ensure_controller
from app.main import create_app
from app.runtime import Runtime

NOW = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)
URL = "/api/v1/audit/entries"


class Service:
    def __init__(self, client: TestClient, runtime: Runtime) -> None:
        self.client, self.runtime = client, runtime
        with runtime.database.write() as session:
            self.ours = ensure_controller(session, "ours", now=NOW).id
            self.theirs = ensure_controller(session, "theirs", now=NOW).id
        # Making the keys is logged as well: two entries, one of each controller.
        self.auditor = self.key(self.ours, Scope.AUDIT_READ)
        self.foreign_auditor = self.key(self.theirs, Scope.AUDIT_READ)

    def key(self, controller: UUID, *scopes: Scope) -> dict[str, str]:
        with self.runtime.database.write() as session:
            row, secret = create_key(
                session,
                self.runtime.keyring,
                controller=controller,
                name="test",
                scopes=scopes,
                actor=kinds.OPERATOR,
                now=NOW,
            )
            row.last_used_at = datetime.now(UTC)  # the first use of a day is an entry too
        return {"Authorization": f"Bearer {secret}"}

    def log(self, controller: UUID, request: UUID, event: str) -> None:
        facts = kinds.RequestMoved(
            controller=controller,
            request=request,
            from_state="received",
            to_state="scheduled",
            event=event,
            actor=kinds.SERVICE,
        )
        with self.runtime.database.write() as session:
            append(session, facts, now=NOW)

    def sequence(self, limit: int = 1000) -> None:
        with self.runtime.database.write() as session:
            sequence(session, now=NOW, limit=limit)

    def page(self, **query: Any) -> dict[str, Any]:
        answer = self.client.get(URL, params=query, headers=self.auditor)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    settings = Settings(data_dir=tmp_path / "data")
    runtime = Runtime.open(settings)
    migrate.upgrade(runtime.database)
    with TestClient(create_app(settings)) as client:
        yield Service(client, runtime)
    runtime.close()


def events(page: dict[str, Any]) -> list[tuple[int | None, str]]:
    return [(item["index"], item["facts"].get("event", "key")) for item in page["items"]]


def test_an_entry_shows_what_its_leaf_hash_is_over(service: Service) -> None:
    request = new_id()
    service.log(service.ours, request, "accepted")
    service.sequence()
    [item] = service.page(request=request_id(request))["items"]
    assert item["index"] == 2  # after the two keys
    assert item["kind"] == "erasure:request:moved"
    assert item["facts"]["request"] == request_id(request)
    assert item["facts"]["controller"] == controller_id(service.ours)
    assert item["created_at"] == "2026-03-01T12:30:05.000000Z"
    leaf = {"facts": item["facts"], "kind": item["kind"], "time": item["created_at"]}
    assert item["leaf_hash"] == sha256(b"\x00" + canonical_json(leaf)).hexdigest()


def test_entries_that_wait_come_last_and_without_an_index(service: Service) -> None:
    for event in ("first", "second"):
        service.log(service.ours, new_id(), event)
    service.sequence(limit=3)
    assert events(service.page()) == [(0, "key"), (2, "first"), (None, "second")]


def test_a_caller_sees_its_own_controller_s_entries_only(service: Service) -> None:
    request = new_id()
    service.log(service.theirs, request, "sequenced")
    service.sequence()
    service.log(service.theirs, request, "waiting")
    assert events(service.page()) == [(0, "key")]
    assert service.page(request=request_id(request))["items"] == []
    answer = service.client.get(URL, headers=service.foreign_auditor)
    assert events(answer.json()) == [(1, "key"), (2, "sequenced"), (None, "waiting")]


def test_a_foreign_and_an_unknown_request_answer_alike(service: Service) -> None:
    foreign = new_id()
    service.log(service.theirs, foreign, "accepted")
    assert service.page(request=request_id(foreign)) == service.page(request=request_id(new_id()))


def test_pages_hold_every_entry_once_in_order(service: Service) -> None:
    for number in range(7):
        service.log(service.ours, new_id(), f"event_{number}")
        service.log(service.theirs, new_id(), "foreign")
    service.sequence(limit=10)
    found, cursor = [], None
    while True:
        page = service.page(limit=2, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) <= 2
        found += [event for _, event in events(page)]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == ["key", *(f"event_{number}" for number in range(7))]


def test_an_entry_read_while_it_waited_comes_again_with_its_index(service: Service) -> None:
    service.log(service.ours, new_id(), "late")
    service.sequence(limit=2)
    first = service.page(limit=2)
    assert events(first) == [(0, "key"), (None, "late")]
    service.sequence()
    assert events(service.page(limit=2, cursor=first["next_cursor"])) == [(2, "late")]


def test_the_head_counts_what_is_sequenced_and_what_waits(service: Service) -> None:
    service.sequence(limit=1)
    head = service.client.get("/api/v1/audit/head", headers=service.auditor).json()
    [first] = service.page()["items"]
    assert head == {"size": 1, "root": first["leaf_hash"], "pending": 1}


@pytest.mark.parametrize("path", [URL, "/api/v1/audit/head"])
def test_the_log_needs_its_scope(service: Service, path: str) -> None:
    others = [scope for scope in Scope if scope is not Scope.AUDIT_READ]
    assert service.client.get(path).status_code == 401
    answer = service.client.get(path, headers=service.key(service.ours, *others))
    assert answer.status_code == 403
    assert answer.json()["type"].endswith(":missing-scope")


@pytest.mark.parametrize(
    "query",
    [
        {"request": "mdl_" + "0" * 32},
        {"request": "ann@example.org"},
        {"limit": "0"},
        {"limit": "201"},
        {"cursor": "ann@example.org"},
        {"cursor": encode_cursor(1)},
        {"cursor": encode_cursor("a", 1)},
        {"cursor": encode_cursor(2**63, 0)},
        {"cursor": encode_cursor(0, -1)},
    ],
)
def test_a_query_that_makes_no_sense_is_refused_without_an_echo(
    service: Service, query: dict[str, str]
) -> None:
    answer = service.client.get(URL, params=query, headers=service.auditor)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    for value in query.values():
        assert len(value) < 4 or value not in answer.text


def test_the_newest_come_first_if_asked_for_and_pages_hold_every_entry_once(
    service: Service,
) -> None:
    for number in range(5):
        service.log(service.ours, new_id(), f"event_{number}")
        service.log(service.theirs, new_id(), "foreign")
    service.sequence()
    service.log(service.ours, new_id(), "waits")
    found, cursor = [], None
    while True:
        page = service.page(order="newest", limit=2, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) <= 2
        found += [event for _, event in events(page)]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == [*(f"event_{number}" for number in (4, 3, 2, 1, 0)), "key"]


def test_the_newest_of_one_request_come_first(service: Service) -> None:
    request = new_id()
    for event in ("first", "second"):
        service.log(service.ours, request, event)
        service.log(service.ours, new_id(), "other")
    service.sequence()
    page = service.page(order="newest", request=request_id(request))
    assert events(page) == [(4, "second"), (2, "first")]


@pytest.mark.parametrize(
    "query",
    [
        {"order": "oldest"},
        {"order": "newest", "cursor": encode_cursor(-1)},
        {"order": "newest", "cursor": encode_cursor(2**63)},
        {"order": "newest", "cursor": encode_cursor(2, 0)},
        {"order": "log", "cursor": encode_cursor(2)},
    ],
)
def test_an_unknown_order_and_a_cursor_of_the_other_one_are_refused(
    service: Service, query: dict[str, str]
) -> None:
    answer = service.client.get(URL, params=query, headers=service.auditor)
    assert answer.status_code == 422
