"""Structured logs: one JSON object a line, with the id of the HTTP request it belongs to.

A log line carries ids, codes and numbers. It never carries a path parameter, a body or a query, nor
what a library says of the data it works on: libraries are heard from warnings upwards, in the words
of their own code.
"""

import contextvars
import json
import logging
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http import problems
from app.tracebacks import without_values

_request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)
_OWN_FIELDS = "lotus_fields"
_OWN_LOGGER = "lotus"
_FORM = re.compile(r"[0-9a-f]{32}")
HEADER = b"x-request-id"
# How a process that works for one request tells its child for which.
VARIABLE = "LOTUS_REQUEST_ID"

log = logging.getLogger("lotus.http")


def new_request_id() -> str:
    return uuid4().hex


def current_request_id() -> str | None:
    """Of the HTTP request in which, or because of which, this code runs."""
    return _request_id.get() or _checked(os.environ.get(VARIABLE))


@contextmanager
def as_request(request_id: object) -> Iterator[None]:
    """What is logged inside belongs to this request. Anything that is not an id made here, such as
    a missing or a forged message header, binds nothing."""
    token = _request_id.set(_checked(request_id))
    try:
        yield
    finally:
        _request_id.reset(token)


def _checked(request_id: object) -> str | None:
    fits = isinstance(request_id, str) and _FORM.fullmatch(request_id)
    return str(request_id) if fits else None


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        if (request := current_request_id()) is not None:
            line["request_id"] = request
        line |= getattr(record, _OWN_FIELDS, {})
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = without_values(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True, default=str)


def _message(record: logging.LogRecord) -> str:
    """Of a library's record the template alone, unless numbers fill it: uvicorn, for one, fills in
    paths. And its first line: asyncio writes the object, exception and all, below."""
    if record.name == _OWN_LOGGER or record.name.startswith(f"{_OWN_LOGGER}."):
        return record.getMessage()
    arguments = record.args if isinstance(record.args, tuple) else (record.args,)
    numbers = all(isinstance(argument, int | float) for argument in arguments)
    return (record.getMessage() if numbers else str(record.msg)).partition("\n")[0]


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """`log.info("claimed", extra=fields(run=...))`"""
    return {_OWN_FIELDS: values}


def configure(level: str) -> None:
    """Everything that this process has to say goes to the standard error output as JSON lines, what
    ends it included."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # At lower levels libraries write down what passes through them; SQLAlchemy, every row.
    root.setLevel(logging.WARNING)
    logging.getLogger(_OWN_LOGGER).setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(level.upper())))
    # One line a request is written below, without the path's ids; uvicorn's would repeat it.
    logging.getLogger("uvicorn.access").disabled = True
    warnings.showwarning = _show_warning
    sys.excepthook = _uncaught
    threading.excepthook = lambda hooked: _log_uncaught(hooked.exc_value, "thread")
    sys.unraisablehook = lambda hooked: _log_uncaught(hooked.exc_value, "finaliser")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Where and what kind; the text only of PyTorch, which speaks of devices and shapes. Others,
    pydantic for one, quote values."""
    place = Path(filename)
    said = {"text": str(message)} if "torch" in place.parts else {}
    logging.getLogger("lotus.warnings").warning(
        "warning",
        extra=fields(kind=category.__name__, file="/".join(place.parts[-2:]), line=lineno, **said),
    )


def _uncaught(kind: type[BaseException], error: BaseException, trace: object) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    _log_uncaught(error, "process")


def _log_uncaught(error: BaseException | None, where: str) -> None:
    if error is None or isinstance(error, SystemExit):
        return
    logging.getLogger("lotus").critical(
        "uncaught exception", exc_info=error, extra=fields(where=where)
    )


class RequestLog:
    """Gives every HTTP request an id, returns it in `X-Request-Id`, and logs one line at its end.

    An id that the caller sends is not taken over: it would be input in a log.
    """

    def __init__(
        self, app: ASGIApp, observe: Callable[[str, str | None, int, float], None]
    ) -> None:
        """`observe` is told method, route, status and seconds of every call."""
        self.app = app
        self.observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = new_request_id()
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
            method, route = scope["method"], getattr(scope.get("route"), "path", None)
            seconds = time.monotonic() - started
            self.observe(method, route, status, seconds)
            log.info(
                "request",
                extra=fields(method=method, route=route, status=status, seconds=round(seconds, 4)),
            )
            _request_id.reset(token)
