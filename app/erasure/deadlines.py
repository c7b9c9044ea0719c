"""When an answer is due, by law. Pure.

GDPR Art. 12(3): one month from the person's request, extendable by two months. Periods in months
are counted as Regulation (EEC) 1182/71 says: the day of the event does not count, the period ends
with the day of the same number in the last month, or with that month's last day if there is none,
and a period that would end on a Saturday, a Sunday or a public holiday ends with the next working
day. CCPA (11 CCR 7021): 45 calendar days, extendable once by 45.
"""

import calendar
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

_LAST_SECOND = time(23, 59, 59, tzinfo=UTC)
_CCPA_DAYS = 45
_FIRST_WEEKEND_DAY = 5


@dataclass(frozen=True)
class Pause:
    """The clock stood still, as while the person's identity was in question."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError("a pause cannot end before it starts")


def due_at(
    submitted: datetime,
    regulation: Literal["gdpr", "ccpa"],
    *,
    extended: bool = False,
    pauses: Iterable[Pause] = (),
    holidays: Container[date] = frozenset(),
) -> datetime:
    """The last second (UTC) of the day on which the answer is due.

    Pauses move the day by their whole length, in days rounded up, before the weekend rule.
    """
    asked = submitted.astimezone(UTC).date()
    if regulation == "gdpr":
        day = add_months(asked, 3 if extended else 1)
    else:
        day = asked + timedelta(days=_CCPA_DAYS * (2 if extended else 1))
    stood_still = sum((pause.end - pause.start for pause in pauses), timedelta())
    day += timedelta(days=-(-stood_still // timedelta(days=1)))
    if regulation == "gdpr":
        day = next_working_day(day, holidays)
    return datetime.combine(day, _LAST_SECOND)


def add_months(day: date, months: int) -> date:
    """The same day number `months` later, or that month's last day if it has no such number."""
    years, month0 = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month0 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def next_working_day(day: date, holidays: Container[date] = frozenset()) -> date:
    while day.weekday() >= _FIRST_WEEKEND_DAY or day in holidays:
        day += timedelta(days=1)
    return day
