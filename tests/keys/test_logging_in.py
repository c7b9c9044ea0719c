"""The forms in which a key may be shown, and what is counted when none is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from app.config import Settings
from app.keys.refusals import Refusals
from app.main import create_app
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.keys.conftest import LIST, PROBLEM, Holder, Logged, bearer


def status(client: TestClient, *headers: tuple[bytes, bytes]) -> int:
    return client.get(LIST, headers=list(headers)).status_code


def shown(text: bytes) -> tuple[bytes, bytes]:
    return (b"Authorization", text)


def test_the_scheme_s_case_and_the_spaces_around_do_not_matter(admin: Holder) -> None:
    key = admin.headers["Authorization"].split()[1].encode()
    for form in (b"bearer ", b"BEARER ", b"Bearer   "):
        assert status(admin.client, shown(form + key)) == 200


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"%s",
        b"Basic %s",
        b"Bearer Bearer %s",
        b"Bearer %s, Bearer %s",
        b"Bearer %s\xc3\xa9",
        b"Bearer \xff\xfe",
        b"Bearer lot_" + b"x" * 10_000,
        b"Bearer %s" + b"0" * 10_000,
        b"Bearer lot_\x00",
    ],
)
def test_what_is_not_a_key_is_refused_and_nothing_breaks(admin: Holder, text: bytes) -> None:
    key = admin.headers["Authorization"].split()[1].encode()
    assert status(admin.client, shown(text.replace(b"%s", key))) == 401


def test_of_two_headers_neither_counts(admin: Holder) -> None:
    """A proxy may have looked at the one, and this service at the other."""
    valid = shown(admin.headers["Authorization"].encode())
    assert status(admin.client, valid) == 200
    assert status(admin.client, valid, valid) == 401
    assert status(admin.client, valid, shown(b"Bearer lot_x")) == 401
    assert status(admin.client, shown(b"Bearer lot_x"), valid) == 401


def test_refused_log_ins_are_one_entry_without_address_or_controller(
    settings: Settings, make_key: MakeKey, logged: Logged
) -> None:
    with TestClient(create_app(settings)) as client:
        for _ in range(3):
            assert client.get(LIST, headers=bearer("lot_nothing")).status_code == 401
        assert client.get(LIST).status_code == 401  # shows nothing, so it is no log-in
        assert client.get(LIST, headers=bearer(make_key())).status_code == 200
    entries = logged("keys:login:refused")
    assert sum(facts["count"] for facts in entries) == 3
    assert len(entries) in (1, 2)  # the minute may have ended in between
    assert all(set(facts) == {"minute", "count"} for facts in entries)


def test_only_minutes_that_have_ended_are_written_down(runtime: Runtime, logged: Logged) -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    refusals = Refusals()
    for seconds in (0, 59, 60):
        refusals.count(noon + timedelta(seconds=seconds))
    refusals.write(runtime, before=noon + timedelta(seconds=119))
    assert logged("keys:login:refused") == [{"minute": "2026-03-02T12:00:00.000000Z", "count": 2}]
    refusals.write(runtime)
    refusals.write(runtime)
    assert [facts["count"] for facts in logged("keys:login:refused")] == [2, 1]


def test_counts_that_cannot_be_written_down_wait_for_the_next_time(
    runtime: Runtime, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = Refusals()
    refusals.count(datetime.now(UTC))

    def away(*arguments: Any, **named: Any) -> Any:
        raise OperationalError("BEGIN", None, Exception("away"))

    with monkeypatch.context() as broken:
        broken.setattr(type(runtime.database), "write", away)
        refusals.write(runtime)
    refusals.count(datetime.now(UTC))
    refusals.write(runtime)
    assert sum(facts["count"] for facts in logged("keys:login:refused")) == 2


def test_too_many_refusals_from_one_address_are_told_to_wait_and_valid_keys_are_not(
    settings: Settings, make_key: MakeKey
) -> None:
    few = settings.model_copy(update={"login_failure_limit": "2/hour"})
    with TestClient(create_app(few)) as client:
        codes = [client.get(LIST, headers=bearer("lot_nothing")).status_code for _ in range(3)]
        assert codes == [401, 401, 429]
        refused = client.get(LIST, headers=bearer("lot_nothing"))
        assert refused.json()["type"] == PROBLEM + "rate-limited"
        assert 0 < int(refused.headers["Retry-After"]) <= 3600
        assert refused.headers["RateLimit-Policy"] == '"refused-log-ins";q=2;w=3600'
        assert client.get(LIST, headers=bearer(make_key())).status_code == 200
        assert client.get(LIST).status_code == 401


@pytest.mark.parametrize(
    ("addresses", "codes"),
    [
        (["192.0.2.1", "192.0.2.2"], [401, 401]),
        (["192.0.2.1", "192.0.2.1"], [401, 429]),
        (["::ffff:192.0.2.1", "192.0.2.1"], [401, 429]),
        (["2001:db8::1", "2001:db8::ffff:1"], [401, 429]),
        (["2001:db8::1", "2001:db8:0:1::1"], [401, 401]),
        (["", "a socket"], [401, 401]),
    ],
    ids=["two", "one", "mapped", "one network", "two networks", "no address"],
)
def test_refusals_are_counted_by_address_and_ipv6_by_network(
    settings: Settings, addresses: list[str], codes: list[int]
) -> None:
    app = create_app(settings.model_copy(update={"login_failure_limit": "1/hour"}))
    found = []
    for address in addresses:
        with TestClient(app, client=(address, 1)) as client:
            found.append(client.get(LIST, headers=bearer("lot_nothing")).status_code)
    assert found == codes
