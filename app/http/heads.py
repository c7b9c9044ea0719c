"""How large the head of a call may be, and how slowly it may come: its line and its headers, before
anybody knows who calls.

uvicorn keeps whatever comes until the head ends. A caller without a key could fill the memory with
it, and hold as many connections as he likes.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 64 * 1024
HEAD_SECONDS = 30.0


class BoundedHeads(HttpToolsProtocol):
    """A connection; closed if a head is too large or does not end in time."""

    _head_bytes = 0
    _give_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        waited = self._give_up is not None
        super().data_received(data)
        if waited and self._give_up is not None:
            # A piece in which the head begins or ends is not counted; none is much larger.
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD:
                self._end()
                self.send_400_response("The head of the call is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> Any:
        self._end()
        return super().on_headers_complete()

    def _begin(self) -> None:
        self._end()
        self._head_bytes = 0
        self._give_up = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _end(self) -> None:
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None
