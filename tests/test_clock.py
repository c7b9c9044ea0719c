"""A machine whose clock is off is told by the database's."""

from datetime import UTC, datetime, timedelta

import pytest

from app.clock import is_off, skew
from app.db import Database


def late_by(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


@pytest.mark.parametrize(("behind", "off"), [(0, False), (10, False), (30, True), (-30, True)])
def test_a_clock_more_than_twenty_seconds_from_the_database_s_is_off(
    database: Database, behind: float, off: bool
) -> None:
    with database.read() as session:
        found = skew(session, lambda: late_by(behind))
        told = is_off(session, lambda: late_by(behind))
    if database.is_sqlite:  # there is only one clock
        assert (found, told) == (timedelta(0), False)
        return
    assert told is off
    # What the question's way explains is not counted, so it is never more than what is so.
    assert abs(found) <= timedelta(seconds=abs(behind))
    assert abs(found) > timedelta(seconds=abs(behind) - 5) or behind == 0


def test_a_slow_answer_is_no_skew(database: Database) -> None:
    """The clock is read on both sides of the question; what lies between them is no skew."""
    times = iter([late_by(40), late_by(-40)])
    with database.read() as session:
        assert skew(session, lambda: next(times)) == timedelta(0)
