"""How much a caller may send, and how slowly: the size of a body, how deeply its JSON may nest.

An upload, of a file or of many requests, is counted while it streams to its endpoint. Every other
body is small: it is read here, whole, before anything is parsed.
"""

import json
import re
from typing import Any

import anyio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import (
    MEDIA_TYPE,
    BodyTooLarge,
    BodyTooSlow,
    MalformedJson,
    Problem,
    UnsupportedMediaType,
)

UPLOADS = "/api/v1/artifacts/"
BULK = "/api/v1/erasure-requests/bulk"
# Python's parser and encoder recurse; no schema of ours comes near this depth.
DEEPEST_JSON = 32
# How long a small body may take as a whole, and a file from one piece to the next. A connection
# costs its caller nothing.
BODY_SECONDS = 60.0
PAUSE_SECONDS = 60.0

# Ends at the body's end too, and never gives back what it took: from each quote it reads once.
_JSON_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


class BodyLimits:
    """ASGI middleware. Answers 413 at once where Content-Length says too much."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, max_upload_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "GET" and not _has_body(scope):
            await self.app(scope, receive, send)
            return
        try:
            if scope["path"].startswith(UPLOADS):
                _check_declared(scope, self.max_upload_bytes)
                inner = _steady(_counted(receive, self.max_upload_bytes))
            elif scope["path"] == BULK:  # which looks at the time itself
                _check_declared(scope, self.max_upload_bytes)
                inner = _counted(receive, self.max_upload_bytes)
            else:
                _check_declared(scope, self.max_body_bytes)
                _check_not_compressed(scope)
                inner = await _in_time(receive, self.max_body_bytes)
        except Problem as problem:
            await _refuse(problem, scope, receive, send)
            return
        await self.app(scope, inner, send)


def _has_body(scope: Scope) -> bool:
    """RFC 9112, section 6: one of these says so. Most calls are polls, and have none."""
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _check_declared(scope: Scope, limit: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit():
                raise MalformedLength("Content-Length must be a number of bytes.")
            # Compared by length first: Python refuses to parse a number of thousands of digits.
            digits = value.lstrip(b"0")
            if len(digits) > len(str(limit)) or int(digits or b"0") > limit:
                raise _too_large(limit)


def _check_not_compressed(scope: Scope) -> None:
    """Here, since whatever looks into a body would find it to be no text."""
    said = [value for name, value in scope["headers"] if name == b"content-encoding"]
    if any(value.strip().lower() not in (b"", b"identity") for value in said):
        raise UnsupportedMediaType("Send the body as it is, and not compressed.")


def _counted(receive: Receive, limit: int) -> Receive:
    """Raises BodyTooLarge into the endpoint that reads beyond the limit."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
        return message

    return counted


def _steady(receive: Receive) -> Receive:
    """Raises BodyTooSlow into the endpoint that waits too long for the next piece. Once the body is
    over, what comes is that the caller has gone, whenever that is."""
    over = False

    async def steady() -> Message:
        nonlocal over
        if over:
            return await receive()
        with anyio.move_on_after(PAUSE_SECONDS):
            message = await receive()
            over = not message.get("more_body", False)
            return message
        raise _too_slow()

    return steady


async def _in_time(receive: Receive, limit: int) -> Receive:
    with anyio.move_on_after(BODY_SECONDS):
        return await _checked_body(receive, limit)
    raise _too_slow()


async def _checked_body(receive: Receive, limit: int) -> Receive:
    """Reads the whole body, checks it, and gives a `receive` that replays it."""
    chunks: list[bytes] = []
    counted = _counted(receive, limit)
    while True:
        message = await counted()
        if message["type"] != "http.request":
            return _replay([message], receive)
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    body = b"".join(chunks)
    # Python's parser would take UTF-16 and UTF-32 as well, in which brackets look otherwise.
    if not _is_utf8(body):
        raise MalformedJson("The body must be UTF-8.")
    if _json_depth(body) > DEEPEST_JSON:
        raise MalformedJson(f"The JSON nests deeper than {DEEPEST_JSON} levels.")
    if names_a_field_twice(body):
        raise MalformedJson("An object of the JSON names a field twice.")
    return _replay([{"type": "http.request", "body": body, "more_body": False}], receive)


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    return replayed


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in body


def _json_depth(body: bytes) -> int:
    """Deepest nesting of brackets outside strings; of no meaning for what is not JSON."""
    deepest = depth = 0
    if body.count(b"[") + body.count(b"{") <= DEEPEST_JSON:
        return deepest
    for bracket in _BRACKET.findall(_JSON_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


class _Twice(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _Twice


def names_a_field_twice(body: bytes) -> bool:
    """RFC 8259 leaves open which of the two counts, and a proxy that looked at the body may have
    taken the other. False for what is not JSON."""
    try:
        json.loads(body, object_pairs_hook=_once)
    except _Twice:
        return True
    except ValueError:
        return False
    return False


class MalformedLength(Problem):
    status = 400
    code = "malformed-length"
    title = "The Content-Length header cannot be read"


def _too_large(limit: int) -> BodyTooLarge:
    # What is left of the body stays unread, so the connection cannot be used again.
    return BodyTooLarge(
        f"The body may have at most {limit} bytes.", headers={"Connection": "close"}
    )


def _too_slow() -> BodyTooSlow:
    return BodyTooSlow(
        "Send the rest of the body without long pauses.", headers={"Connection": "close"}
    )


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    answer = JSONResponse(
        problem.document(),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **problem.headers},
    )
    await answer(scope, receive, send)
