"""A body that is still being read while it is answered, line by line.

Reading never waits for the caller to take the answer: most send all they have before they read, and
both sides would wait for ever. What he has not taken yet is kept, so whoever produces the lines
must have an end.
"""

import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.http.problems import BodyTooSlow

log = logging.getLogger("lotus.http")

NDJSON = "application/x-ndjson"
# How long a caller may take nothing of what lies ready for him, once he has sent everything.
TAKING_SECONDS = 60.0

Say = Callable[[Iterable[dict[str, Any]]], Awaitable[None]]


class Body:
    """The pieces of a body. Its caller may pause for `silence` seconds, and take `whole` in all;
    then BodyTooSlow is raised."""

    def __init__(self, request: Request, *, silence: float, whole: float) -> None:
        self._receive = request.receive
        self._silence = silence
        self._end = time.monotonic() + whole
        self.over = False
        self.progressed()

    def progressed(self) -> None:
        """What came was of use: a caller who sends a byte now and then makes no progress."""
        self._silent_at = time.monotonic() + self._silence

    async def piece(self, patience: float = math.inf) -> bytes | None:
        """The next one; None if it does not come within `patience` seconds. Empty at the end."""
        end = min(self._silent_at, self._end)
        left = max(end - time.monotonic(), 0.0)
        with anyio.move_on_after(min(patience, left)):
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self.over = not message.get("more_body", False)
            return bytes(message.get("body", b""))
        if time.monotonic() >= end:
            raise BodyTooSlow(
                "Send the rest of the body without long pauses.", headers={"Connection": "close"}
            )
        return None


class Exchange(Response):
    """Answers with the lines that `work` says while it reads the body. `done` is called at the end,
    however it came about."""

    def __init__(self, work: Callable[[Say], Awaitable[None]], done: Callable[[], None]) -> None:
        super().__init__(media_type=NDJSON)
        self.raw_headers = [one for one in self.raw_headers if one[0] != b"content-length"]
        self._work = work
        self._done = done
        self._worked = False
        self._taken_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        said, heard = anyio.create_memory_object_stream[bytes](math.inf)
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            async with anyio.create_task_group() as group:
                group.start_soon(self._produce, said, group.cancel_scope)
                group.start_soon(self._watch, group.cancel_scope)
                async for lines in heard:
                    await send({"type": "http.response.body", "body": lines, "more_body": True})
                    self._taken_at = time.monotonic()
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                group.cancel_scope.cancel()
        finally:
            heard.close()
            self._done()

    async def _produce(
        self, said: MemoryObjectSendStream[bytes], everything: anyio.CancelScope
    ) -> None:
        async def say(documents: Iterable[dict[str, Any]]) -> None:
            said.send_nowait(b"".join(map(_line, documents)))

        try:
            await self._work(say)
            self._taken_at, self._worked = time.monotonic(), True
        except ClientDisconnect:
            everything.cancel()
        finally:
            said.close()

    async def _watch(self, everything: anyio.CancelScope) -> None:
        """Gives up a caller who has sent everything and takes nothing. As long as he sends, he may
        not be able to."""
        while not (self._worked and time.monotonic() - self._taken_at > TAKING_SECONDS):
            await anyio.sleep(min(1.0, TAKING_SECONDS))
        everything.cancel()


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
