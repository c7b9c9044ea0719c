"""Calls that nobody means well, against endpoints of every kind. Each is refused as a problem that
repeats nothing of it, and leaves nothing behind. Sizes and forms of bodies: `test_limits.py`."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.erasure.tables import ErasureRequest
from app.http import limits
from app.ids import model_id
from app.runtime import Runtime
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.listening import listening

API = "/api/v1"
CANARY = "jane-the-unmistakable"
ZERO = "0" * 32
# Each with a body that is taken, but for the fields that a test spoils.
WRITES: dict[str, tuple[str, dict[str, Any]]] = {
    "/erasure-requests": ("POST", submission("ada", external_id="case-1")),
    "/erasure-requests/impact": ("POST", {"subjects": submission("ada")["subjects"]}),
    "/suppressions/search": ("POST", {"subjects": submission("ada")["subjects"]}),
    f"/erasure-requests/req_{ZERO}/hold": ("POST", {"reason": "legal_hold", "note": "x"}),
    f"/erasure-requests/req_{ZERO}/refuse": ("POST", {"reason_code": "legal_claims", "note": "x"}),
    "/keys": ("POST", {"name": "x", "scopes": ["audit:read"]}),
    "/webhooks": ("POST", {"url": "https://receiver.example.org/hook"}),
    "/datasets": (
        "POST",
        {
            "name": "x",
            "task": "tabular_classification",
            "artifact": "0" * 64,
            "class_names": ["a", "b"],
            "subject_columns": [{"column": "customer"}],
        },
    ),
    f"/models/mdl_{ZERO}/rollback": ("POST", {"reason": "x"}),
    f"/models/mdl_{ZERO}/policy": ("PUT", {}),
}


@pytest.fixture
def model(runtime: Runtime) -> str:
    with runtime.database.write() as session:
        return model_id(add_model(session, add_dataset(runtime, session, people(ada=2))).id)


def send(api: TestClient, path: str, body: str | bytes | dict[str, Any]) -> Any:
    content = json.dumps(body) if isinstance(body, dict) else body
    headers = {"Content-Type": "application/json"}
    return api.request(WRITES[path][0], API + path, content=content, headers=headers)


def assert_refused(answer: Any, *statuses: int) -> None:
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert CANARY not in answer.text
    assert len(answer.content) < 20_000


def count(runtime: Runtime) -> int:
    with runtime.database.read() as session:
        return session.scalars(select(func.count()).select_from(ErasureRequest)).one()


MALFORMED: dict[str, str] = {
    "10,000 levels of lists": "[" * 10_000 + "]" * 10_000,
    "10,000 levels of objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "levels behind a name": '{"subjects":' + "[" * 10_000 + "]" * 10_000 + "}",
    "a name twice": f'{{"name": "x", "name": "{CANARY}"}}',
    "two documents": "{} {}",
    "a word": CANARY,
    "a name twice behind a byte order mark": f'\ufeff{{"name": "x", "name": "{CANARY}"}}',
    "a number of 5,000 digits": '{"a": ' + "9" * 5_000 + "}",
}


@pytest.mark.parametrize("path", WRITES)
def test_json_that_no_parser_should_be_given_is_refused(api: TestClient, path: str) -> None:
    for body in MALFORMED.values():
        answer = send(api, path, body)
        assert_refused(answer, 400)


SCALARS: dict[str, str] = {
    "not a number": "NaN",
    "infinite": "-Infinity",
    "a lone surrogate": '"\\ud800"',
    "a null byte": '"\\u0000"',
    "a megabyte": '"' + "x" * 1_000_000 + '"',
    "an endless float": "1e999",
    "a negative count": "-1",
    "a boolean": "true",
    "an empty array": "[]",
    "an array of arrays": "[[[]]]",
    "an object": '{"$ne": null}',
}


@pytest.mark.parametrize("path", [path for path, (_, body) in WRITES.items() if body])
@pytest.mark.parametrize("name", SCALARS)
def test_a_value_of_the_wrong_kind_in_any_field_is_refused(
    api: TestClient, model: str, runtime: Runtime, path: str, name: str
) -> None:
    for field in WRITES[path][1]:
        spoiled = {**WRITES[path][1], field: "SPOILED"}
        body = json.dumps(spoiled).replace('"SPOILED"', SCALARS[name])
        assert_refused(send(api, path, body), 400, 422)
    assert count(runtime) == 0


@pytest.mark.parametrize("path", WRITES)
def test_a_field_that_nobody_knows_is_refused_without_its_name(api: TestClient, path: str) -> None:
    answer = send(api, path, {**WRITES[path][1], CANARY: 1})
    assert_refused(answer, 422)
    assert {"field": "body", "message": "unknown field"} in answer.json()["errors"]


@pytest.mark.parametrize(
    "time",
    [
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "10000-01-01T00:00:00Z",
        "-2026-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:00",
        "2026-01-01",
        "1767225600",
    ],
)
def test_a_time_at_the_end_of_the_calendar_or_of_another_form_is_refused_everywhere(
    api: TestClient, model: str, runtime: Runtime, time: str
) -> None:
    for path, field in (
        ("/erasure-requests", "submitted_at"),
        (f"/erasure-requests/req_{ZERO}/hold", "until"),
        ("/keys", "expires_at"),
    ):
        answer = send(api, path, {**WRITES[path][1], field: time})
        assert_refused(answer, 422)
        assert answer.json()["errors"][0]["field"].endswith(field)
    answer = api.get(f"{API}/erasure-requests", params={"due_before": time})
    assert_refused(answer, 422)
    assert count(runtime) == 0


@pytest.mark.parametrize(
    "count_",
    ["-1", "0", "1e3", "0x10", "１２", "9" * 400, "NaN", "", " 5", "5.0", "null", "true", "5,6"],
)
def test_a_number_of_entries_that_is_none_is_refused_by_every_list(
    api: TestClient, count_: str
) -> None:
    for path in ("/erasure-requests", "/runs", "/models", "/webhooks", "/keys", "/audit/entries"):
        answer = api.get(API + path, params={"limit": count_})
        if answer.status_code == 200:  # a number all the same, in a form that is read leniently
            assert count_ in (" 5", "5.0", "１２"), path
            continue
        assert_refused(answer, 422)
        assert answer.json()["errors"][0]["field"] == "query.limit"


@pytest.mark.parametrize(
    "query",
    [
        b"state=%ff%fe",
        b"state=%00",
        b"external_id=%ed%a0%80",
        b"%ff=1",
        b"=1",
        b"&&&==&",
        b"limit[$gt]=1",
        b"limit=1;cursor=2",
        b"state=" + b"&state=" * 5_000,
        b"a=1&" * 5_000,
    ],
)
def test_a_query_of_bytes_that_are_no_text_or_of_thousands_of_parameters_is_refused(
    api: TestClient, query: bytes
) -> None:
    answer = api.get(f"{API}/erasure-requests?{query.decode('ascii')}")
    assert_refused(answer, 422)


def test_paths_that_are_no_ids_are_refused_and_lead_nowhere(api: TestClient) -> None:
    for part in ("%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "%ff", "%ed%a0%80", "x" * 5_000, "-1"):
        for path in ("/erasure-requests", "/models", "/runs", "/audit/checkpoints", "/artifacts"):
            answer = api.get(f"{API}{path}/{part}")
            assert_refused(answer, 404, 405, 422)


def test_headers_of_odd_bytes_are_refused(api: TestClient, model: str, runtime: Runtime) -> None:
    url, body = f"{API}/erasure-requests", submission("ada")
    for value in (b"\xff\xfe", b"x" * 300, "ключ".encode(), b"a b"):
        answer = api.post(url, json=body, headers={b"Idempotency-Key": value})
        assert_refused(answer, 422)
    for value in (b"Bearer \xff", b"Bearer " + b"x" * 5_000, b"Bearer", b"\x80"):
        assert_refused(api.post(url, json=body, headers={b"Authorization": value}), 401)
    for value in ("text/plain", "application/xml", "multipart/form-data"):
        answer = api.post(url, content=json.dumps(body), headers={"Content-Type": value})
        assert_refused(answer, 415)
    assert count(runtime) == 0


@contextmanager
def unfinished(app: Any, method: str, path: str, key: str) -> Iterator[socket.socket]:
    """A call over a real connection, of whose body one byte has come so far."""
    with listening(app) as address:
        url = urlsplit(address)
        with socket.create_connection((str(url.hostname), int(url.port or 0)), 20) as connection:
            head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n".encode())
            yield connection


def heard(connection: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{API}/erasure-requests"),
        ("POST", "/opendsr/v2/requests"),
        ("GET", "/livez"),
        ("PUT", f"{API}/artifacts/{'0' * 64}"),
    ],
)
def test_a_body_that_does_not_end_is_given_up(
    api: TestClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
    monkeypatch.setattr(limits, "PAUSE_SECONDS", 0.2)
    with unfinished(api.app, method, path, api.headers["Authorization"]) as connection:
        answer = heard(connection)
    assert b" 408 " in answer.splitlines()[0]
    assert b"body-too-slow" in answer
    assert api.get("/livez").status_code == 200
    assert count(runtime) == 0


def test_a_trickle_does_not_keep_a_small_body_open(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.5)
    key = api.headers["Authorization"]
    with unfinished(api.app, "POST", f"{API}/erasure-requests", key) as connection:
        connection.settimeout(0.05)
        answer = b""
        for _ in range(200):
            try:
                connection.sendall(b"1\r\n \r\n")
                answer += connection.recv(4096)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if b"body-too-slow" in answer:
                break
    assert b" 408 " in answer.splitlines()[0]


@pytest.mark.parametrize("seconds", [False, "5", 5.5, -1, 10**12])
def test_how_long_an_old_secret_holds_is_said_by_a_whole_number_alone(
    api: TestClient, seconds: Any
) -> None:
    hook = api.post(f"{API}/webhooks", json={"url": "https://receiver.example.org/hook"}).json()
    own = api.get(f"{API}/keys").json()["items"][0]["id"]
    for path in (f"/webhooks/{hook['id']}/rotate-secret", f"/keys/{own}/rotate"):
        answer = api.post(API + path, json={"overlap_seconds": seconds})
        assert_refused(answer, 422)
        assert answer.json()["errors"][0]["field"] == "body.overlap_seconds"
