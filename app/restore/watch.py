"""Looks at the mark when a process starts, and every few seconds while it runs."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from app.observability import fields
from app.restore.service import look
from app.runtime import Runtime

log = logging.getLogger("lotus.restore")

EVERY_SECONDS = 10.0


def look_once(runtime: Runtime) -> None:
    """A database or a folder that is away is for others to report; the next look may find it."""
    try:
        reason = look(runtime.database, runtime.artifacts.root, now=datetime.now(UTC))
    except (SQLAlchemyError, OSError) as error:
        log.warning("mark of the audit log not compared", exc_info=error)
        return
    if reason is not None:
        log.warning("paused: see `lotus doctor --after-restore`", extra=fields(reason=reason))


@contextmanager
def watching(runtime: Runtime) -> Iterator[None]:
    ending = threading.Event()

    def keep_looking() -> None:
        while not ending.wait(EVERY_SECONDS):
            look_once(runtime)

    look_once(runtime)
    thread = threading.Thread(target=keep_looking, name="restore-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
