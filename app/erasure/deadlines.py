"""When an answer is due, by law. Pure.

GDPR Art. 12(3): one month from the receipt of the request, extendable by two, of which the person
is told, with the reasons, within the first. Periods in months are counted as Regulation (EEC)
1182/71 says: the day of the event does not count, the period ends with the day of the same number
in the last month, or with that month's last day if there is none, and a period that would end on a
Saturday, a Sunday or a public holiday ends with the next working day. While the controller doubts
who the person is and has asked (Art. 12(6)), the clock stands still.

CCPA (11 CCR 7021): 45 calendar days, extendable once by 45, with notice. They run regardless of the
time that it takes to verify who asked, so nothing stops this clock. The day of a request is that of
California: by UTC whatever is sent in the afternoon there would be a day younger than it is.
"""

import calendar
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import StrEnum

# So many days before the due date somebody is reminded, and once more when it has passed.
NEARING = (10, 5, 2)
_LAST_SECOND = time(23, 59, 59, tzinfo=UTC)
_FIRST_WEEKEND_DAY = 5
# All year: an hour of summer in which a day begins too late can only make a deadline earlier.
_CALIFORNIA = timezone(timedelta(hours=-8))


@dataclass(frozen=True)
class Span:
    """A length of time as laws name it."""

    months: int = 0
    days: int = 0

    def after(self, day: date) -> date:
        return add_months(day, self.months) + timedelta(days=self.days)


@dataclass(frozen=True)
class Law:
    """`extended` counts from the person's request too, and is empty where none is allowed. `place`
    says on which day that was."""

    first: Span
    extended: Span | None = None
    ends_on_a_working_day: bool = False
    identity_stops_the_clock: bool = False
    place: timezone = UTC


GDPR = Law(
    first=Span(months=1),
    extended=Span(months=3),
    ends_on_a_working_day=True,
    identity_stops_the_clock=True,
)
CCPA = Law(first=Span(days=45), extended=Span(days=90), place=_CALIFORNIA)
LAWS: Mapping[str, Law] = {"gdpr": GDPR, "ccpa": CCPA}


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
    law: Law,
    *,
    extended: bool = False,
    pauses: Iterable[Pause] = (),
    holidays: Container[date] = frozenset(),
) -> datetime:
    """The last second (UTC) of the day on which the answer is due.

    Pauses move the day by their whole length, in days rounded up, before the weekend rule.
    """
    span = law.extended if extended else law.first
    if span is None:
        raise ValueError("this law knows no extension")
    day = span.after(submitted.astimezone(law.place).date())
    stood_still = sum((pause.end - pause.start for pause in pauses), timedelta())
    day += timedelta(days=-(-stood_still // timedelta(days=1)))
    if law.ends_on_a_working_day:
        day = next_working_day(day, holidays)
    return datetime.combine(day, _LAST_SECOND)


class ExtensionFault(StrEnum):
    """Why an extension would not hold."""

    NONE_ALLOWED = "none_allowed"
    PERIOD_OVER = "period_over"
    NOT_YET_TOLD = "not_yet_told"
    TOLD_BEFORE_ASKING = "told_before_asking"


def extension_fault(
    law: Law,
    *,
    submitted: datetime,
    due: datetime,
    notified: datetime,
    now: datetime,
    paused_since: datetime | None = None,
) -> ExtensionFault | None:
    """`due` is the end of the first period, as pauses that are over have moved it. Since
    `paused_since` the clock stands still, and it will be moved by what comes of that."""
    if law.extended is None:
        return ExtensionFault.NONE_ALLOWED
    if on_the_clock(now, paused_since) > due:
        return ExtensionFault.PERIOD_OVER
    if notified > now:
        return ExtensionFault.NOT_YET_TOLD
    # Told before now, and now is within the first period: so was the telling. Days are compared,
    # since many a letter has a date and no time.
    before = notified.astimezone(UTC).date() < submitted.astimezone(UTC).date()
    return ExtensionFault.TOLD_BEFORE_ASKING if before else None


def on_the_clock(moment: datetime, paused_since: datetime | None) -> datetime:
    """What the legal clock shows: while it stands still, the moment at which it stopped."""
    return moment if paused_since is None else min(moment, paused_since)


def first_reminder(due: datetime, now: datetime) -> datetime:
    """When to look first: at once, if the date is near already."""
    return max(now, due - timedelta(days=NEARING[0]))


def next_reminder(due: datetime, now: datetime) -> datetime | None:
    """When to look next; None once the date has passed and that was told."""
    times = [due - timedelta(days=days) for days in NEARING] + [due + timedelta(seconds=1)]
    return min((at for at in times if at > now), default=None)


def days_left(due: datetime, now: datetime) -> int | None:
    """As far as reminders tell it: the last of `NEARING` that was reached, 0 after the date, and
    None before any."""
    if now > due:
        return 0
    left = due - now
    return min((days for days in NEARING if left <= timedelta(days=days)), default=None)


def add_months(day: date, months: int) -> date:
    """The same day number `months` later, or that month's last day if it has no such number."""
    years, month0 = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month0 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def next_working_day(day: date, holidays: Container[date] = frozenset()) -> date:
    while day.weekday() >= _FIRST_WEEKEND_DAY or day in holidays:
        day += timedelta(days=1)
    return day
