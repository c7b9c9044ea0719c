import json
from datetime import UTC, datetime

import httpx2
import pytest

from client import LotusProblem
from tests.client.service import PROBLEM, answering

KEY = {
    "id": "key_1",
    "name": "dashboard",
    "prefix": "lot_abcdefgh",
    "scopes": ["requests:read"],
    "valid": True,
    "created_at": "2026-01-31T12:00:00Z",
}


def test_a_key_is_made_with_what_was_asked_for_and_does_not_show_in_its_text() -> None:
    lotus, seen = answering(httpx2.Response(201, json={**KEY, "key": "lot_secret"}))
    ends = datetime(2027, 1, 1, tzinfo=UTC)
    made = lotus.create_key("dashboard", ["requests:read"], expires_at=ends, idempotency_key="once")
    assert made.key == "lot_secret"
    assert "lot_secret" not in repr(made)
    assert json.loads(seen[0].content) == {
        "name": "dashboard",
        "scopes": ["requests:read"],
        "expires_at": "2027-01-01T00:00:00+00:00",
    }
    assert seen[0].headers["Idempotency-Key"] == "once"


def test_a_key_is_rotated_revoked_and_listed() -> None:
    lotus, seen = answering(
        httpx2.Response(201, json={**KEY, "key": "lot_secret", "succeeds": "key_0"}),
        httpx2.Response(200, json={**KEY, "valid": False}),
        httpx2.Response(200, json={"items": [KEY], "next_cursor": None}),
    )
    assert lotus.rotate_key("key_0", overlap_seconds=0).succeeds == "key_0"
    assert not lotus.revoke_key("key_1").valid
    assert [key.name for key in lotus.list_keys()] == ["dashboard"]
    assert [(one.method, one.url.path) for one in seen] == [
        ("POST", "/api/v1/keys/key_0/rotate"),
        ("DELETE", "/api/v1/keys/key_1"),
        ("GET", "/api/v1/keys"),
    ]
    assert json.loads(seen[0].content) == {"overlap_seconds": 0}


def test_a_case_s_recipients_say_whether_they_are_all() -> None:
    lotus, seen = answering(httpx2.Response(200, json={"items": [], "complete": False}))
    assert not lotus.case_recipients("req_1").complete
    assert seen[0].url.path == "/api/v1/erasure-requests/req_1/recipients"


def test_a_read_that_came_too_often_is_repeated_and_a_write_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("client.transport.time.sleep", waited.append)
    too_often = {**PROBLEM, "status": 429, "type": "urn:lotus-unlearning:problem:rate-limited"}
    refused = httpx2.Response(429, json=too_often, headers={"Retry-After": "2"})
    lotus, seen = answering(
        refused, httpx2.Response(200, json={"items": [KEY], "next_cursor": None}), refused
    )
    assert len(list(lotus.list_keys())) == 1
    assert waited == [2.0]
    with pytest.raises(LotusProblem) as raised:
        lotus.revoke_key("key_1")
    assert (raised.value.code, raised.value.retry_after) == ("rate-limited", 2.0)
    assert len(seen) == 3
