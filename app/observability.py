"""Structured logs: one JSON object a line, with the id of the HTTP request it belongs to.

A log line carries ids, codes and numbers. It never carries a path parameter, a body or a query.
"""

import contextvars
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http import problems

_request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)
_OWN_FIELDS = "lotus_fields"
HEADER = b"x-request-id"

log = logging.getLogger("lotus.http")


# How a process that works for one request tells its child for which.
VARIABLE = "LOTUS_REQUEST_ID"


def current_request_id() -> str | None:
    return _request_id.get() or os.environ.get(VARIABLE)


@contextmanager
def as_request(request_id: object) -> Iterator[None]:
    token = _request_id.set(request_id if isinstance(request_id, str) else None)
    try:
        yield
    finally:
        _request_id.reset(token)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request := _request_id.get()) is not None:
            line["request_id"] = request
        line |= getattr(record, _OWN_FIELDS, {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """`log.info("claimed", extra=fields(run=...))`"""
    return {_OWN_FIELDS: values}


def configure(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # One line a request is written below, without the path's ids; uvicorn's would repeat it.
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("alembic").setLevel(logging.WARNING)


class RequestLog:
    """Gives every HTTP request an id, returns it in `X-Request-Id`, and logs one line at its end.

    An id that the caller sends is not taken over: it would be input in a log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = uuid4().hex
        token = _request_id.set(request_id)
        started, status, answered = time.monotonic(), 500, False

        async def noted(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                message["headers"] = [*message["headers"], (HEADER, request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception:
            log.exception("a call failed")
            if answered:
                raise  # the connection breaks, so that nobody takes half an answer for a whole one
            refusal = problems.answer(problems.Internal("The service failed; its log says why."))
            await refusal(scope, receive, noted)
        finally:
            route = scope.get("route")
            log.info(
                "request",
                extra=fields(
                    method=scope["method"],
                    route=getattr(route, "path", None),
                    status=status,
                    seconds=round(time.monotonic() - started, 4),
                ),
            )
            _request_id.reset(token)
