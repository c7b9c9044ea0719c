"""How many log-ins were refused, as one entry a minute for each process.

Nobody outside can make the log grow by more than that. A process that dies loses the count of the
minute at most.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from app.audit import kinds
from app.audit import log as audit
from app.runtime import Runtime

log = logging.getLogger("lotus.keys")

EVERY_SECONDS = 15.0


class Refusals:
    """Counts by minute; nothing of the caller is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[datetime] = Counter()

    def count(self, now: datetime) -> None:
        with self._lock:
            self._counts[_minute(now)] += 1

    def write(self, runtime: Runtime, *, before: datetime | None = None) -> None:
        """Moves the counts into the log: all of them, or those of the minutes that ended before
        that time. What cannot be written stays for the next time."""
        with self._lock:
            ended = [
                minute for minute in self._counts if before is None or minute < _minute(before)
            ]
            taken = {minute: self._counts.pop(minute) for minute in sorted(ended)}
        if not taken:
            return
        try:
            with runtime.database.write() as session:
                for minute, count in taken.items():
                    facts = kinds.LoginRefused(minute=minute, count=count)
                    audit.append(session, facts, now=datetime.now(UTC))
        except SQLAlchemyError as error:
            log.warning("refused log-ins not written down yet", exc_info=error)
            with self._lock:
                self._counts.update(taken)


def _minute(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(second=0, microsecond=0)


@contextmanager
def writing(runtime: Runtime, refusals: Refusals) -> Iterator[None]:
    """Writes the counts down while the block runs, and the last of them at its end."""
    ending = threading.Event()

    def keep_writing() -> None:
        while not ending.wait(EVERY_SECONDS):
            refusals.write(runtime, before=datetime.now(UTC))

    thread = threading.Thread(target=keep_writing, name="refused-log-ins", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        refusals.write(runtime)
