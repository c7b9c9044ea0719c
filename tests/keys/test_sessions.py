"""Browsers: a key is shown once, and a cookie stands for it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.cookies import Morsel, SimpleCookie
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select, update

from app.config import Settings
from app.keys import sessions
from app.keys.scopes import Scope
from app.keys.tables import ApiKey, BrowserSession
from app.main import create_app
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.keys.conftest import KEYS, LIST, PROBLEM, Holder, Logged, bearer
from workers import duties

SESSION = "/api/v1/session"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


class Browser:
    """Sends what a page of the service would send, and the cookies that it was given."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        client.headers.update(OWN_PAGE)

    def log_in(self, key: str) -> Response:
        return self.client.post(SESSION, json={"key": key})

    def who(self) -> Response:
        return self.client.get(SESSION)

    def log_out(self) -> Response:
        return self.client.delete(SESSION)


@pytest.fixture
def browser(anonymous: TestClient) -> Browser:
    return Browser(anonymous)


def cookie_of(answer: Response) -> Morsel[str]:
    (line,) = answer.headers.get_list("Set-Cookie")
    (morsel,) = SimpleCookie(line).values()
    return morsel


def kept(runtime: Runtime) -> int:
    with runtime.database.read() as session:
        return session.scalars(select(func.count()).select_from(BrowserSession)).one()


def change_key(runtime: Runtime, key: str, **columns: Any) -> None:
    with runtime.database.write() as session:
        session.execute(update(ApiKey).where(ApiKey.prefix == key[:12]).values(columns))


def test_a_key_opens_a_session_and_its_cookie_stands_for_the_key(
    browser: Browser, make_key: MakeKey
) -> None:
    key = make_key(Scope.REQUESTS_READ, Scope.KEYS_ADMIN)
    answer = browser.log_in(key)
    assert answer.status_code == 201
    document = answer.json()
    assert document["key"]["name"] == "test" and document["key"]["id"].startswith("key_")
    assert document["controller"]["name"] == "default"
    assert document["scopes"] == ["keys:admin", "requests:read"]
    ends = datetime.fromisoformat(document["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=11) < ends <= timedelta(hours=12)
    assert key not in answer.text and answer.headers["Cache-Control"] == "no-store"
    assert browser.who().json() == document
    assert browser.client.get(LIST).status_code == 200
    made = browser.client.post(KEYS, json={"name": "made", "scopes": ["requests:read"]})
    assert made.status_code == 201
    assert made.json()["made_by"] == document["key"]["id"]


def test_a_session_may_do_what_its_key_may_do(browser: Browser, make_key: MakeKey) -> None:
    browser.log_in(make_key(Scope.AUDIT_READ))
    refused = browser.client.get(LIST)
    assert refused.status_code == 403
    assert refused.json()["type"] == PROBLEM + "missing-scope"


def test_the_cookie_is_for_no_script_and_no_other_site(browser: Browser, make_key: MakeKey) -> None:
    cookie = cookie_of(browser.log_in(make_key()))
    assert cookie.key == "lotus_session"
    assert cookie["httponly"] and cookie["path"] == "/" and not cookie["domain"]
    assert cookie["samesite"].lower() == "strict"
    assert not cookie["secure"]
    assert 11 * 3600 < int(cookie["max-age"]) <= 12 * 3600


@pytest.mark.parametrize(
    ("address", "public"),
    [("https://testserver", None), ("http://testserver", "https://a.example")],
)
def test_by_https_only_the_host_itself_can_have_set_it(
    settings: Settings, make_key: MakeKey, address: str, public: str | None
) -> None:
    app = create_app(settings.model_copy(update={"public_url": public}))
    with TestClient(app, base_url=address) as client:
        answer = Browser(client).log_in(make_key())
        cookie = cookie_of(answer)
        assert cookie.key == "__Host-lotus_session"
        assert cookie["secure"] and cookie["path"] == "/" and not cookie["domain"]
        client.cookies.clear()
        named = {"Cookie": f"__Host-lotus_session={cookie.value}"}
        assert client.get(SESSION, headers=named).status_code == 200
        planted = {"Cookie": f"lotus_session={cookie.value}"}
        assert client.get(SESSION, headers=planted).status_code == 401


def test_the_token_itself_is_not_stored(
    browser: Browser, make_key: MakeKey, runtime: Runtime
) -> None:
    tokens = [cookie_of(browser.log_in(key)).value for key in (make_key(), make_key())]
    assert len(set(tokens)) == 2 and {len(token) for token in tokens} == {43}
    with runtime.database.read() as session:
        for row in session.scalars(select(BrowserSession)):
            assert len(row.digest) == 32
            assert not [token for token in tokens if token in repr(vars(row))]


@pytest.mark.parametrize("key", ["", "lot_nothing", "lot_" + "0" * 46, "\u00fc", "x" * 1000])
def test_a_wrong_key_opens_nothing_and_is_not_repeated(
    browser: Browser, runtime: Runtime, key: str
) -> None:
    answer = browser.log_in(key)
    assert answer.status_code == 401
    assert answer.json()["type"] == PROBLEM + "not-authenticated"
    assert "Set-Cookie" not in answer.headers
    assert not key or key not in answer.text
    assert kept(runtime) == 0


@pytest.mark.parametrize(
    "body",
    [{}, {"key": None}, {"key": 1}, {"key": "x" * 1001}, {"key": "x", "more": 1}, [], "lot_"],
)
def test_a_body_without_a_key_is_refused(browser: Browser, body: Any) -> None:
    answer = browser.client.post(SESSION, json=body)
    assert answer.status_code == 422
    assert "xx" not in answer.text


def test_wrong_keys_count_like_every_refused_log_in(settings: Settings, make_key: MakeKey) -> None:
    few = settings.model_copy(update={"login_failure_limit": "3/hour"})
    with TestClient(create_app(few)) as client:
        browser = Browser(client)
        codes = [browser.log_in("lot_nothing").status_code for _ in range(2)]
        codes.append(client.get(LIST, headers=bearer("lot_nothing")).status_code)
        codes.append(browser.log_in("lot_nothing").status_code)
        assert codes == [401, 401, 401, 429]
        assert browser.log_in(make_key()).status_code == 201
        assert browser.who().status_code == 200


def test_a_log_in_is_a_call_of_its_key(settings: Settings, make_key: MakeKey) -> None:
    key = make_key()
    with TestClient(create_app(settings.model_copy(update={"rate_limit": "2/hour"}))) as client:
        browser = Browser(client)
        assert browser.log_in(key).status_code == 201
        assert browser.who().status_code == 200
        assert browser.log_in(key).status_code == 429
        assert browser.who().status_code == 429


def test_who_calls_with_a_key_is_told_the_same(browser: Browser, make_key: MakeKey) -> None:
    key = make_key(Scope.REQUESTS_READ)
    by_cookie = browser.log_in(key).json()
    browser.client.cookies.clear()
    by_key = browser.client.get(SESSION, headers=bearer(key)).json()
    assert by_key == {**by_cookie, "expires_at": None}
    nobody = browser.who()
    assert nobody.status_code == 401 and nobody.headers["WWW-Authenticate"] == "Bearer"


def test_the_end_of_a_session_is_the_end(
    browser: Browser, make_key: MakeKey, runtime: Runtime
) -> None:
    token = cookie_of(browser.log_in(make_key())).value
    answer = browser.log_out()
    assert answer.status_code == 204 and answer.content == b""
    assert cookie_of(answer)["max-age"] == "0" and cookie_of(answer).value == ""
    assert kept(runtime) == 0
    assert browser.who().status_code == 401
    stolen = {"Cookie": f"lotus_session={token}"}
    assert browser.client.get(SESSION, headers=stolen).status_code == 401
    for headers in ({}, stolen, {"Cookie": "lotus_session=; lotus_session=x"}):
        assert browser.client.delete(SESSION, headers=headers).status_code == 204


def test_logging_out_ends_no_other_session(
    browser: Browser, make_key: MakeKey, runtime: Runtime
) -> None:
    key = make_key()
    other = {"Cookie": f"lotus_session={cookie_of(browser.log_in(key)).value}"}
    browser.client.cookies.clear()
    browser.log_in(key)
    browser.log_out()
    assert browser.client.get(SESSION, headers=other).status_code == 200
    assert kept(runtime) == 1


def test_logging_in_again_ends_the_session_that_the_browser_had(
    browser: Browser, make_key: MakeKey, runtime: Runtime
) -> None:
    first = cookie_of(browser.log_in(make_key())).value
    browser.log_in(make_key())
    assert kept(runtime) == 1
    browser.client.cookies.clear()
    old = {"Cookie": f"lotus_session={first}"}
    assert browser.client.get(SESSION, headers=old).status_code == 401


def test_a_key_has_so_many_sessions_and_the_oldest_makes_room(
    browser: Browser, make_key: MakeKey, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST", 3)
    key, tokens = make_key(), []
    browser.log_in(make_key())
    for _ in range(5):
        browser.client.cookies.clear()
        tokens.append(cookie_of(browser.log_in(key)).value)
    browser.client.cookies.clear()
    codes = [
        browser.client.get(SESSION, headers={"Cookie": f"lotus_session={token}"}).status_code
        for token in tokens
    ]
    assert codes == [401, 401, 200, 200, 200]
    assert kept(runtime) == 4


class TestOfTheKey:
    """What ends a key ends its sessions, and at once."""

    @pytest.fixture
    def admin(self, holder: Any) -> Iterator[Holder]:
        yield holder()

    def test_a_revoked_key_has_no_sessions(
        self, admin: Holder, browser: Browser, runtime: Runtime
    ) -> None:
        made = admin.made("requests:read")
        browser.log_in(made["key"])
        assert browser.who().status_code == 200
        assert admin.revoke(made["id"]).status_code == 200
        assert browser.who().status_code == 401
        assert kept(runtime) == 0

    def test_a_rotated_key_has_none_either_though_it_is_valid_for_a_while(
        self, admin: Holder, browser: Browser
    ) -> None:
        made = admin.made("requests:read")
        browser.log_in(made["key"])
        assert admin.rotate(made["id"]).status_code == 201
        assert browser.who().status_code == 401
        assert admin.opens(made["key"])

    @pytest.mark.parametrize("column", ["expires_at", "revoked_at"])
    def test_it_opens_nothing_once_its_key_opens_nothing(
        self, browser: Browser, make_key: MakeKey, runtime: Runtime, column: str
    ) -> None:
        key = make_key()
        browser.log_in(key)
        change_key(runtime, key, **{column: datetime.now(UTC)})
        assert browser.who().status_code == 401
        assert browser.client.get(LIST).status_code == 401

    def test_it_never_outlives_its_key(
        self, browser: Browser, make_key: MakeKey, runtime: Runtime
    ) -> None:
        key, end = make_key(), datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
        change_key(runtime, key, expires_at=end)
        answer = browser.log_in(key)
        assert datetime.fromisoformat(answer.json()["expires_at"]) == end
        assert int(cookie_of(answer)["max-age"]) <= 300

    def test_a_key_may_be_rotated_or_revoked_by_a_session_of_its_own(
        self, admin: Holder, browser: Browser
    ) -> None:
        rotated, revoked = (admin.made(*Scope) for _ in range(2))
        browser.log_in(rotated["key"])
        answer = browser.client.post(f"{KEYS}/{rotated['id']}/rotate", json={})
        assert answer.status_code == 201, answer.text
        assert browser.who().status_code == 401
        browser.log_in(revoked["key"])
        answer = browser.client.delete(f"{KEYS}/{revoked['id']}")
        assert answer.status_code == 200 and not answer.json()["valid"]
        assert browser.who().status_code == 401


def expire(runtime: Runtime, **ago: float) -> None:
    with runtime.database.write() as session:
        session.execute(
            update(BrowserSession).values(expires_at=datetime.now(UTC) - timedelta(**ago))
        )


def test_a_session_ends_by_itself(browser: Browser, make_key: MakeKey, runtime: Runtime) -> None:
    browser.log_in(make_key())
    expire(runtime, seconds=1)
    assert browser.who().status_code == 401


def test_how_long_it_lasts_is_a_setting(settings: Settings, make_key: MakeKey) -> None:
    short = settings.model_copy(update={"session_hours": 0.5})
    with TestClient(create_app(short)) as client:
        assert 1700 < int(cookie_of(Browser(client).log_in(make_key()))["max-age"]) <= 1800


def test_rows_of_ended_sessions_are_removed_and_no_others(
    browser: Browser, make_key: MakeKey, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PART", 2)
    key = make_key()
    for _ in range(5):
        browser.client.cookies.clear()
        browser.log_in(key)
    duties.clear(runtime, datetime.now(UTC))
    assert kept(runtime) == 5
    expire(runtime, seconds=1)
    browser.client.cookies.clear()
    browser.log_in(key)
    duties.clear(runtime, datetime.now(UTC))
    assert kept(runtime) == 1
    assert browser.who().status_code == 200


def test_a_session_is_a_use_of_its_key_and_no_entry_of_its_own(
    browser: Browser, make_key: MakeKey, logged: Logged, runtime: Runtime
) -> None:
    key = make_key()
    identity = browser.log_in(key).json()["key"]["id"]
    assert [facts["key"] for facts in logged("keys:key:used")] == [identity]
    change_key(runtime, key, last_used_at=datetime.now(UTC) - timedelta(days=1))
    browser.who()
    assert [facts["key"] for facts in logged("keys:key:used")] == [identity] * 2
