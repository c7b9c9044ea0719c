"""Streams of events: one look at the database serves all that this process has open.

An event is the present state, not the change. So a stream that falls behind gets the newest state
next, one that is broken off goes on with whatever changed meanwhile, and either may be served by
any process.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from app.erasure import run_views, views
from app.erasure.marks import Followed, Mark, Thing, marks
from app.erasure.tables import ErasureRequest, Run
from app.http import events
from app.keys.auth import Caller, still_valid
from app.runtime import Runtime

log = logging.getLogger("lotus.erasure")

EVERY_SECONDS = 0.5
HEARTBEAT_SECONDS = 15.0
# A client connects again by itself; its key and its place among others are then looked at anew.
LONGEST_SECONDS = 3600.0


class _News(NamedTuple):
    mark: Mark
    document: str


class _Stream:
    def __init__(self, thing: Thing, caller: Caller, seen: str | None) -> None:
        self.thing = thing
        self.caller = caller
        self.seen = seen
        self.woken = asyncio.Event()
        self.news: _News | None = None
        self.over = False


class Following:
    """Looks only while there is a stream. All its methods run in the event loop."""

    def __init__(self, runtime: Runtime, clock: Callable[[], datetime]) -> None:
        self._runtime = runtime
        self._clock = clock
        self._streams: set[_Stream] = set()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    async def follow(self, thing: Thing, caller: Caller, seen: str | None) -> AsyncGenerator[bytes]:
        """The stream of one thing, from what the client has `seen` of it on. Ends when the thing
        will not change any more, when key or session are not valid any more, or when the service
        stops."""
        stream = _Stream(thing, caller, seen)
        stream.over = self._stopped
        self._streams.add(stream)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_looking())
        end = time.monotonic() + LONGEST_SECONDS
        try:
            yield events.RETRY
            while not stream.over and time.monotonic() < end:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stream.woken.wait(), HEARTBEAT_SECONDS)
                stream.woken.clear()
                news, stream.news = stream.news, None
                if news is None:
                    yield events.HEARTBEAT
                    continue
                yield events.event(thing.kind, news.document, id=news.mark.text)
                if news.mark.ended:
                    yield events.event("end", "{}")
                    return
        finally:
            self._streams.discard(stream)

    def stop(self) -> None:
        """Ends every stream, so that the service can stop."""
        self._stopped = True
        for stream in self._streams:
            stream.over = True
            stream.woken.set()

    async def _keep_looking(self) -> None:
        while self._streams:
            looked_at = list(self._streams)
            try:
                heard = await run_in_threadpool(self._look, looked_at)
            except Exception:
                log.exception("streams of events were not served")
                heard = {}
            for stream, news in heard.items():
                stream.over = stream.over or news is None
                if news is not None:
                    stream.seen, stream.news = news.mark.text, news
                stream.woken.set()
            await asyncio.sleep(EVERY_SECONDS)

    def _look(self, streams: list[_Stream]) -> dict[_Stream, _News | None]:
        """What is new for whom; nothing at all for those who may not call any more."""
        now, coalesce = self._clock(), self._runtime.settings.coalesce
        heard: dict[_Stream, _News | None] = {}
        with self._runtime.database.read() as session:
            valid = still_valid(session, {stream.caller for stream in streams}, now=now)
            found = marks(session, (stream.thing for stream in streams))
            documents: dict[Thing, str] = {}
            for stream in streams:
                thing, mark = stream.thing, found.get(stream.thing)
                if stream.caller not in valid or mark is None:
                    heard[stream] = None
                elif stream.seen != mark.text:
                    if thing not in documents:
                        documents[thing] = document_of(session, thing, coalesce=coalesce, now=now)
                    heard[stream] = _News(mark, documents[thing])
        return heard


def document_of(session: Session, thing: Thing, *, coalesce: timedelta, now: datetime) -> str:
    """As the API shows it; of a run the summary, without its curves."""
    if thing.kind is Followed.RUN:
        return run_views.run_summary(session.get_one(Run, thing.id)).model_dump_json()
    request = session.get_one(ErasureRequest, thing.id)
    return views.detail(session, request, coalesce=coalesce, now=now).model_dump_json()
