"""Reads that are answered with 304 while nothing has changed (RFC 9110, section 13).

The tag of an answer is a digest of its bytes, so it needs no knowledge of what is shown, and the
work of finding out is done all the same: what a repeat spares is the way of the bytes, and the
caller's work with them. An endpoint that knows a cheaper tag sets `ETag` itself, or answers 304.

The tags are weak because they say nothing of the bytes that travel: a proxy may pack them.
`no-store` stays (see `headers`): nothing of persons' cases shall lie in a cache, not even in a
browser's own, so whoever asks with a tag keeps the body himself.
"""

import hashlib
import re
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What is larger is sent as it is.
LARGEST = 1024 * 1024

_JSON = b"application/json"
# The answer depends on who asks.
VARY = (b"vary", b"Authorization, Cookie")
_OF_THE_BODY = (b"content-length", b"content-type")
_GAP = re.compile(rb"[ \t,]*+")
_TAG = re.compile(rb'(?:W/)?+("[!#-~\x80-\xff]*+")[ \t]*+(?:,[ \t,]*+|\Z)')
Headers = list[tuple[bytes, bytes]]


class ETags:
    """ASGI middleware, for the paths below `under`. Answers in JSON get a tag, and 304 where the
    caller has it."""

    def __init__(self, app: ASGIApp, *, under: str) -> None:
        self.app = app
        self.under = under + "/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and scope["path"].startswith(self.under)
        ):
            send = _Answer(scope["headers"], send).take
        await self.app(scope, receive, send)


class _Answer:
    """Holds the head back until the body is there, if it may be tagged."""

    def __init__(self, asked: Headers, send: Send) -> None:
        self._asked = asked
        self._send = send
        self._head: Message | None = None

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_json(message):
            self._head = message
            return
        if (head := self._head) is not None:
            self._head = None
            body = b"" if message.get("more_body", False) else message.get("body", b"")
            if 0 < len(body) <= LARGEST:
                head, message = self._tagged(head, body)
            await self._send(head)
        await self._send(message)

    def _tagged(self, head: Message, body: bytes) -> tuple[Message, Message]:
        headers: Headers = [*head["headers"], VARY]
        tag = _value(headers, b"etag")
        if tag is None:
            tag = b'W/"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
            headers.append((b"etag", tag))
        had = [value for name, value in self._asked if name == b"if-none-match"]
        if had and matches(b", ".join(had), tag):
            headers = [one for one in headers if one[0] not in _OF_THE_BODY]
            return {**head, "status": 304, "headers": headers}, _body(b"")
        return {**head, "headers": headers}, _body(body)


def matches(had: bytes, tag: bytes) -> bool:
    """Whether `If-None-Match` names the tag, compared weakly. False if it cannot be read."""
    if had.strip(b" \t") == b"*":
        return True
    opaque = tag.removeprefix(b"W/")
    place, found = _GAP.match(had).end(), False  # type: ignore[union-attr]  # matches nothing too
    while place < len(had):
        one = _TAG.match(had, place)
        if one is None:
            return False
        place, found = one.end(), found or one[1] == opaque
    return found


def _is_json(start: Message) -> bool:
    kind = _value(start["headers"], b"content-type")
    return start["status"] == 200 and kind is not None and kind.partition(b";")[0] == _JSON


def _value(headers: Headers, wanted: bytes) -> bytes | None:
    return next((value for name, value in headers if name == wanted), None)


def _body(content: bytes) -> Message:
    return {"type": "http.response.body", "body": content}


class Described(FastAPI):
    """Says in its description which reads are conditional: those that `ETags` concerns."""

    def __init__(self, *, conditional: str, **said: Any) -> None:
        super().__init__(**said)
        self._below = conditional + "/"

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            _describe(super().openapi(), self._below)
        assert self.openapi_schema is not None
        return self.openapi_schema


_CONDITION = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of an earlier answer to this call: if nothing has changed since, "
    "the answer is 304.",
    "schema": {"type": "string"},
}
_NOT_MODIFIED = {"description": "Nothing has changed since the answer with that `ETag`."}


def _describe(document: dict[str, Any], below: str) -> None:
    parts = document["components"]
    parts.setdefault("parameters", {})["IfNoneMatch"] = _CONDITION
    parts.setdefault("responses", {})["NotModified"] = _NOT_MODIFIED
    for path, methods in document["paths"].items():
        read = methods.get("get", {"responses": {}})
        answer = read["responses"].get("200", {})
        if path.startswith(below) and "application/json" in answer.get("content", {}):
            read.setdefault("parameters", []).append(
                {"$ref": "#/components/parameters/IfNoneMatch"}
            )
            read["responses"]["304"] = {"$ref": "#/components/responses/NotModified"}
