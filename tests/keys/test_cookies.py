"""Where a cookie counts, in what form, and from which page."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.main import create_app
from tests.conftest import MakeKey
from tests.keys.conftest import KEYS, LIST, PROBLEM, bearer

SESSION = "/api/v1/session"
HERE = {"Origin": "http://testserver"}
MADE = {"name": "made", "scopes": ["requests:read"]}


@pytest.fixture
def token(anonymous: TestClient, make_key: MakeKey) -> str:
    """Of a session with every scope; the client itself has no cookie."""
    answer = anonymous.post(SESSION, json={"key": make_key()}, headers=HERE)
    assert answer.status_code == 201, answer.text
    anonymous.cookies.clear()
    token = answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    assert len(token) == 43
    return token


def cookie(value: str) -> dict[str, str]:
    return {"Cookie": f"lotus_session={value}"}


def sent(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """As bytes, of which not all must be ASCII."""
    return [(name.encode(), value.encode()) for name, value in headers.items()]


# Forms


def test_among_other_cookies_it_is_found(anonymous: TestClient, token: str) -> None:
    for line in (
        f"a=b; lotus_session={token}; c=d=e",
        f"a;lotus_session={token};;",
        f"lotus_session2=x; lotus_session={token}; xlotus_session=y",
    ):
        assert anonymous.get(LIST, headers={"Cookie": line}).status_code == 200, line


def test_cookies_may_come_in_several_lines(anonymous: TestClient, token: str) -> None:
    """As they do by HTTP/2."""
    lines = [("Cookie", "a=b"), ("Cookie", f"lotus_session={token}")]
    assert anonymous.get(LIST, headers=lines).status_code == 200


@pytest.mark.parametrize(
    "line",
    [
        b"lotus_session",
        b"lotus_session=",
        b"lotus_session=%s; lotus_session=%s",
        b"lotus_session=%s; lotus_session=x",
        b"lotus_session=x; lotus_session=%s",
        b'lotus_session="%s"',
        b"lotus_session=%s0",
        b"lotus_session=%s\xc3\xa9",
        b"lotus_session=\xff\xfe",
        b"lotus_session=" + b"x" * 43,
        b"lotus_session=" + b"x" * 10_000,
        b"lotus_session=x" * 1_000,
        b"LOTUS_SESSION=%s",
        b"__Host-lotus_session=%s",
        b"=%s",
        b"%s",
        b";;;",
    ],
)
def test_what_is_no_session_is_refused_and_nothing_breaks(
    anonymous: TestClient, token: str, line: bytes
) -> None:
    named = [(b"Cookie", line.replace(b"%s", token.encode()))]
    refused = anonymous.get(LIST, headers=named)
    assert refused.status_code == 401
    assert refused.json()["type"] == PROBLEM + "not-authenticated"
    assert anonymous.delete(SESSION, headers=[*named, *sent(HERE)]).status_code == 204


def test_two_cookies_in_two_lines_are_two(anonymous: TestClient, token: str) -> None:
    lines = [("Cookie", f"lotus_session={token}")] * 2
    assert anonymous.get(LIST, headers=lines).status_code == 401


def test_an_authorization_counts_and_the_cookie_beside_it_does_not(
    anonymous: TestClient, token: str, make_key: MakeKey
) -> None:
    own = bearer(make_key())
    shown = anonymous.get(SESSION, headers={**own, **cookie(token)}).json()
    assert shown["expires_at"] is None
    assert anonymous.get(LIST, headers={**own, **cookie("x")}).status_code == 200
    for wrong in ("Bearer lot_nothing", "Basic x", ""):
        headers = {"Authorization": wrong, **cookie(token)}
        assert anonymous.get(LIST, headers=headers).status_code == 401


def test_cookies_that_were_never_given_count_as_refused_log_ins(settings: Settings) -> None:
    few = settings.model_copy(update={"login_failure_limit": "2/hour"})
    with TestClient(create_app(few)) as client:
        codes = [client.get(LIST, headers=cookie("x" * 43)).status_code for _ in range(3)]
        assert codes == [401, 401, 429]


# Places


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metrics"),
        ("GET", "/opendsr/v2/requests/6f1c2f0e-0000-4000-8000-000000000000"),
        ("POST", "/opendsr/v2/requests"),
        ("DELETE", "/opendsr/v2/requests/6f1c2f0e-0000-4000-8000-000000000000"),
    ],
)
def test_only_the_native_api_takes_cookies(
    anonymous: TestClient, token: str, make_key: MakeKey, method: str, path: str
) -> None:
    body = {} if method == "POST" else None
    by_cookie = anonymous.request(method, path, json=body, headers={**cookie(token), **HERE})
    assert by_cookie.status_code == 401
    by_key = anonymous.request(method, path, json=body, headers=bearer(make_key()))
    assert by_key.status_code != 401


# Pages

OVERVIEW = "/api/v1/overview"

OWN: dict[str, dict[str, str]] = {
    "the browser says so": {"Sec-Fetch-Site": "same-origin"},
    "and Host was changed on the way": {
        "Sec-Fetch-Site": "same-origin",
        "Origin": "https://erasure.example.org",
    },
    "the origin is the host": {"Origin": "http://testserver"},
    "with the port that it has anyway": {"Origin": "http://testserver:80"},
    "a proxy took https away": {"Origin": "https://testserver"},
    "in other letters": {"Origin": "HTTP://TestServer"},
    "with a port": {"Origin": "http://testserver:8080", "Host": "testserver:8080"},
    "by its address": {"Origin": "http://[::1]:8080", "Host": "[::1]:8080"},
}
FOREIGN: dict[str, dict[str, str]] = {
    "nothing is said": {},
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "a neighbour": {"Sec-Fetch-Site": "same-site"},
    "no page": {"Sec-Fetch-Site": "none"},
    "no word of the standard": {"Sec-Fetch-Site": "Same-Origin, cross-site"},
    "an empty word": {"Sec-Fetch-Site": ""},
    "the browser knows better": {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
    "a forged origin": {"Origin": "http://evil.example"},
    "null": {"Origin": "null"},
    "empty": {"Origin": ""},
    "another port": {"Origin": "http://testserver:8080"},
    "the port of another scheme": {"Origin": "https://testserver:80"},
    "a longer name": {"Origin": "http://testserver.evil.example"},
    "a shorter name": {"Origin": "http://server"},
    "a neighbour's name": {"Origin": "http://a.testserver"},
    "a name before an @": {"Origin": "http://testserver@evil.example"},
    "no scheme": {"Origin": "testserver"},
    "another scheme": {"Origin": "ftp://testserver"},
    "an extension": {"Origin": "chrome-extension://testserver"},
    "with a path": {"Origin": "http://testserver/"},
    "a list": {"Origin": "http://testserver http://testserver"},
    "only a referrer": {"Referer": "http://testserver/"},
    "a port beyond": {"Origin": "http://testserver:999999"},
    "what is no letter": {"Origin": "http://testserver\u00fc"},
    "a host that is none": {"Origin": "http://testserver", "Host": "testserver/x"},
}


@pytest.mark.parametrize("why", OWN)
def test_a_page_of_the_service_may_change_something(
    anonymous: TestClient, token: str, why: str
) -> None:
    headers = sent({**cookie(token), **OWN[why]})
    assert anonymous.post(KEYS, json=MADE, headers=headers).status_code == 201
    assert anonymous.delete(SESSION, headers=headers).status_code == 204
    assert anonymous.get(SESSION, headers=headers).status_code == 401


@pytest.mark.parametrize("why", FOREIGN)
def test_no_other_page_may_nor_read_if_the_browser_says_so(
    anonymous: TestClient, token: str, make_key: MakeKey, why: str
) -> None:
    key, headers = make_key(), sent({**cookie(token), **FOREIGN[why]})
    calls: list[tuple[str, str, Any]] = [
        ("POST", KEYS, MADE),
        ("POST", "/api/v1/erasure-requests/impact", {}),
        ("PUT", f"/api/v1/models/mdl_{'0' * 32}/policy", {}),
        ("DELETE", f"{KEYS}/key_{'0' * 32}", None),
        ("POST", SESSION, {"key": key}),
        ("DELETE", SESSION, None),
    ]
    for method, path, body in calls:
        refused = anonymous.request(method, path, json=body, headers=headers)
        assert refused.status_code == 403, (method, path, refused.text)
        assert refused.json()["type"] == PROBLEM + "cross-site"
        assert "Set-Cookie" not in refused.headers
        assert "evil" not in refused.text
    tag = anonymous.get(OVERVIEW, headers=bearer(key)).headers["ETag"]
    may_read = FOREIGN[why].get("Sec-Fetch-Site") not in ("same-site", "cross-site")
    listed = anonymous.get(KEYS, headers=headers)
    polled = anonymous.get(OVERVIEW, headers=[*headers, *sent({"If-None-Match": tag})])
    assert (listed.status_code, polled.status_code) == ((200, 304) if may_read else (403, 403))
    assert not may_read or [one["name"] for one in listed.json()["items"]] == ["test", "test"]


def test_of_two_headers_neither_counts(anonymous: TestClient, token: str) -> None:
    for name, value in (("Sec-Fetch-Site", "same-origin"), ("Origin", "http://testserver")):
        headers = [("Cookie", f"lotus_session={token}"), (name, value), (name, value)]
        assert anonymous.post(KEYS, json=MADE, headers=headers).status_code == 403


def test_another_site_s_page_is_refused_before_anybody_looks_at_the_cookie(
    settings: Settings,
) -> None:
    """Nor do its calls count as log-ins of whoever visits it."""
    few = settings.model_copy(update={"login_failure_limit": "1/hour"})
    with TestClient(create_app(few)) as client:
        for _ in range(3):
            assert client.post(KEYS, json=MADE, headers=cookie("x" * 43)).status_code == 403
        assert client.post(SESSION, json={"key": "lot_x"}).status_code == 403
        assert client.get(LIST, headers=cookie("x" * 43)).status_code == 401


def test_callers_with_a_key_come_from_wherever_they_like(
    anonymous: TestClient, token: str, make_key: MakeKey
) -> None:
    own = bearer(make_key())
    for headers in FOREIGN.values():
        shown = sent({**own, **cookie(token), **headers})
        assert anonymous.post(KEYS, json=MADE, headers=shown).status_code == 201


@pytest.mark.parametrize(
    ("public", "origin", "allowed"),
    [
        ("https://erasure.example.org", "https://erasure.example.org", True),
        ("https://erasure.example.org", "https://erasure.example.org:443", True),
        ("https://erasure.example.org", "http://erasure.example.org", False),
        ("https://erasure.example.org", "https://erasure.example.org:8443", False),
        ("https://erasure.example.org", "https://testserver", True),
        ("https://erasure.example.org", "http://testserver", False),
        ("http://erasure.example.org:8080", "http://erasure.example.org:8080", True),
        ("http://erasure.example.org:8080", "http://erasure.example.org", False),
        ("http://erasure.example.org:8080", "http://testserver", True),
    ],
)
def test_the_public_address_is_the_service_s_own_too(
    settings: Settings, make_key: MakeKey, public: str, origin: str, allowed: bool
) -> None:
    app = create_app(settings.model_copy(update={"public_url": public}))
    with TestClient(app) as client:
        answer = client.post(SESSION, json={"key": make_key()}, headers={"Origin": origin})
        assert answer.status_code == (201 if allowed else 403)


def test_by_https_a_page_that_came_by_http_is_another_one(
    settings: Settings, make_key: MakeKey
) -> None:
    with TestClient(create_app(settings), base_url="https://testserver") as client:
        for origin, status in (("http://testserver", 403), ("https://testserver", 201)):
            answer = client.post(SESSION, json={"key": make_key()}, headers={"Origin": origin})
            assert answer.status_code == status


# Bodies


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/plain; application/json",
        "application/jsonx",
        "",
        None,
    ],
)
def test_what_a_form_can_send_is_refused(
    anonymous: TestClient, token: str, make_key: MakeKey, kind: str | None
) -> None:
    headers = {**cookie(token), **HERE} | ({} if kind is None else {"Content-Type": kind})
    key = make_key()
    for path, body in ((KEYS, b'{"name": "x", "scopes": ["requests:read"]}'), (SESSION, b"{}")):
        for content in (body, iter([body])):  # of a known length, and in pieces
            refused = anonymous.post(path, content=content, headers=headers)
            assert refused.status_code == 415, refused.text
            assert refused.json()["type"] == PROBLEM + "unsupported-media-type"
    by_key = anonymous.get(KEYS, headers=bearer(key)).json()["items"]
    assert [one["name"] for one in by_key] == ["test", "test"]


def test_a_call_without_a_body_names_no_type(anonymous: TestClient, token: str) -> None:
    path = f"/api/v1/erasure-requests/req_{'0' * 32}/approve"
    assert anonymous.post(path, headers={**cookie(token), **HERE}).status_code == 404


def test_the_type_may_have_parameters(anonymous: TestClient, token: str) -> None:
    kind = {"Content-Type": "Application/JSON; charset=utf-8"}
    content = b'{"name": "made", "scopes": ["requests:read"]}'
    headers = {**cookie(token), **HERE, **kind}
    assert anonymous.post(KEYS, content=content, headers=headers).status_code == 201
