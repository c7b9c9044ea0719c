"""What time it is, and how far this machine's clock is from the database's.

A lease is written by one machine and judged by another, each by its own clock: a worker whose clock
is off takes runs from those who hold them, or loses its own.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

# A lease lasts a minute by default. Who is further off than this must not work.
MOST_SKEW = timedelta(seconds=20)
AGREED = timedelta(0)


def utc_now() -> datetime:
    """For whoever starts something; functions below are handed the time."""
    return datetime.now(UTC)


def skew(session: Session, here: Callable[[], datetime]) -> timedelta:
    """How far this machine's clock is ahead of the database's, or behind it if negative; what the
    question's own way there and back explains is not counted. `here` reads this machine's clock,
    since an instant that was read earlier would count every wait in between.

    Zero on SQLite, which has no clock of its own.
    """
    if session.get_bind().dialect.name == "sqlite":
        return AGREED
    session.connection()  # connecting may take long
    before = here()
    there = session.scalar(text("SELECT clock_timestamp()"))
    after = here()
    assert isinstance(there, datetime)
    return max(before - there, AGREED) + min(after - there, AGREED)


def is_off(session: Session, here: Callable[[], datetime]) -> bool:
    """Whether this machine's clock is too far from the database's to hold leases by."""
    return abs(skew(session, here)) > MOST_SKEW
