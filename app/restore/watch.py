"""Looks at the mark when a process starts, and every few seconds while it runs."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from app.observability import fields
from app.restore.service import look
from app.restore.tables import PauseReason
from app.runtime import Runtime

log = logging.getLogger("lotus.restore")

EVERY_SECONDS = 10.0


def look_once(runtime: Runtime, before: PauseReason | None = None) -> PauseReason | None:
    """Why the service is paused; logged unless it is what the look before found.

    A database or a folder that is away is for others to report; the next look may find it.
    """
    try:
        reason = look(runtime.database, runtime.artifacts.root, now=datetime.now(UTC))
    except (SQLAlchemyError, OSError) as error:
        log.warning("mark of the audit log not compared", exc_info=error)
        return before
    if reason not in (None, before):
        log.warning("paused: see `lotus doctor --after-restore`", extra=fields(reason=reason))
    return reason


class Lookout:
    """For a loop that has other things to do: call `look` as often as you like. The first call
    looks, and then one every few seconds."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._found: PauseReason | None = None
        self._next = datetime.min.replace(tzinfo=UTC)

    def look(self, now: datetime) -> None:
        if now >= self._next:
            self._next = now + timedelta(seconds=EVERY_SECONDS)
            self._found = look_once(self._runtime, self._found)


@contextmanager
def watching(runtime: Runtime) -> Iterator[None]:
    ending = threading.Event()

    found = look_once(runtime)

    def keep_looking() -> None:
        last = found
        while not ending.wait(EVERY_SECONDS):
            last = look_once(runtime, last)

    thread = threading.Thread(target=keep_looking, name="restore-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
