"""Limits on what a caller may send, seen from outside and from the ASGI side."""

import asyncio
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.http.limits import DEEPEST_JSON, BodyLimits, _json_depth

PROBLEM = "urn:lotus-unlearning:problem:"
GIGABYTE = 1024**3


def send(path: str, headers: dict[str, str], chunks: list[bytes]) -> tuple[int, bytes | None, int]:
    """Status, the body that reached the application (None if it was never called), and how many
    chunks were taken from the wire."""
    seen: list[bytes] = []
    called: list[bool] = []
    status: list[int] = []
    waiting = list(chunks)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(True)
        while True:
            message = await receive()
            seen.append(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def answer(message: Any) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
    }
    limited = BodyLimits(app, max_body_bytes=1000, max_upload_bytes=5000)
    asyncio.run(limited(scope, receive, answer))
    return status[0], b"".join(seen) if called else None, len(chunks) - len(waiting)


def test_five_gigabytes_are_refused_by_their_length_before_a_byte_is_read(api: TestClient) -> None:
    for path, method in (("/erasure-requests", "POST"), ("/artifacts/" + "0" * 64, "PUT")):
        answer = api.request(
            method,
            f"/api/v1{path}",
            content=b"x",
            headers={"Content-Length": str(5 * GIGABYTE), "Content-Type": "application/json"},
        )
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == PROBLEM + "body-too-large"


@pytest.mark.parametrize("length", ["5001", "1" * 5000, "-1", "5e3", "", "１"])
def test_a_length_that_is_too_large_or_no_number_reads_nothing(length: str) -> None:
    status, body, taken = send("/api/v1/artifacts/x", {"Content-Length": length}, [b"x"])

    assert status == (413 if length.isdecimal() and length.isascii() else 400)
    assert body is None
    assert taken == 0


def test_a_chunked_body_is_refused_at_the_first_byte_too_many() -> None:
    status, body, taken = send("/api/v1/models", {}, [b"x" * 400] * 10)

    assert status == 413
    assert body is None
    assert taken == 3


def test_a_length_that_lies_does_not_open_the_limit() -> None:
    status, body, _ = send("/api/v1/models", {"Content-Length": "5"}, [b"x" * 600] * 2)

    assert (status, body) == (413, None)


def test_a_body_of_the_limit_arrives_unchanged() -> None:
    status, body, _ = send("/api/v1/models", {"Content-Length": "1000"}, [b"a" * 400, b"b" * 600])

    assert (status, body) == (200, b"a" * 400 + b"b" * 600)


def test_only_uploads_have_the_larger_limit() -> None:
    assert send("/api/v1/artifacts/x", {}, [b"x" * 5000])[0] == 200
    assert send("/api/v1/artifact", {}, [b"x" * 5000])[0] == 413


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def test_json_may_nest_to_the_limit_and_no_deeper() -> None:
    assert send("/api/v1/models", {}, [deep(DEEPEST_JSON)])[0] == 200
    assert send("/api/v1/models", {}, [deep(DEEPEST_JSON + 1)])[0] == 400


def test_brackets_inside_of_strings_do_not_count() -> None:
    text = b'{"a": "' + b"[" * 300 + b'\\"' + b"{" * 300 + b'"}'

    assert send("/api/v1/models", {}, [text])[0] == 200


def test_a_string_that_never_ends_does_not_hide_what_came_before() -> None:
    assert send("/api/v1/models", {}, [b"[" * 100 + b'"' + b'\\"' * 300 + b"\\"])[0] == 400


MALFORMED = {
    "too deep for any parser": deep(200_000),
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "not JSON": b"canary-2210",
    "cut short": b'{"subjects": [',
    "no UTF-8": b'{"a": "\xff\xfe canary-2210"}',
    "an endless number": b'{"a": ' + b"1" * 10_000 + b"}",
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("path", ["/erasure-requests", "/datasets", "/models"])
def test_a_body_that_cannot_be_parsed_is_a_400_problem(
    api: TestClient, path: str, name: str
) -> None:
    answer = api.post(
        f"/api/v1{path}",
        content=MALFORMED[name],
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "canary" not in answer.text


def test_a_body_at_the_limit_that_opens_strings_again_and_again_is_checked_quickly() -> None:
    # A pattern that starts anew at each quote would need hours for this one.
    body = b"[" * 40 + b'"' + b'\\"' * 400_000

    assert _json_depth(body) == 40


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_a_body_that_is_not_utf_8_is_refused(api: TestClient, encoding: str) -> None:
    """Brackets behind a character that only looks like a quote would not be counted."""
    deep = "[" * 900 + "]" * 900
    body = f'{{"subjects": "\u00e9\u0122", "x": {deep}}}'.encode(encoding, errors="replace")
    answer = api.post("/api/v1/erasure-requests", content=body)
    assert (answer.status_code, answer.json()["type"]) == (400, PROBLEM + "malformed-json")


@pytest.mark.parametrize(
    "body",
    [
        '{"regulation": "gdpr", "regulation": "ccpa", "subjects": [{"value": "ada"}]}',
        '{"regulation": "gdpr", "subjects": [{"value": "ada", "value": "ben"}]}',
        '{"regulation": "gdpr", "regulati\\u006fn": "ccpa", "subjects": [{"value": "ada"}]}',
    ],
)
def test_a_field_that_is_named_twice_is_refused(api: TestClient, body: str) -> None:
    answer = api.post("/api/v1/erasure-requests", content=body)
    assert (answer.status_code, answer.json()["type"]) == (400, PROBLEM + "malformed-json")
    assert "twice" in answer.json()["detail"]
    assert api.get("/api/v1/erasure-requests").json()["items"] == []


def test_the_same_field_in_two_objects_is_no_repeat(api: TestClient) -> None:
    body = '{"regulation": "gdpr", "subjects": [{"value": "ada"}, {"value": "ben"}]}'
    json_ = {"Content-Type": "application/json"}
    answer = api.post("/api/v1/erasure-requests", content=body, headers=json_)
    assert answer.json()["type"] == PROBLEM + "nothing-registered"
