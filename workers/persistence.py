"""Writes that a database which is away for a while must not undo: minutes of work hang on them."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

log = logging.getLogger("lotus.worker")

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
# What a restart, a failover, a deadlock or a full connection table raise, and nothing of ours.
AWAY = (OperationalError, InterfaceError)

Result = TypeVar("Result")


def persist(write: Callable[[], Result], *, seconds: float) -> Result:
    """Tries again while the database is away, for so long; then raises what the last try raised.

    `write` is one fenced transaction. A commit may have got through although its answer did not, so
    a second try must be able to meet its own result.
    """
    give_up = time.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return write()
        except AWAY as error:
            if time.monotonic() + pause > give_up:
                raise
            log.warning("database away; trying again", exc_info=error)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
