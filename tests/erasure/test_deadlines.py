from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from app.erasure.deadlines import (
    CCPA,
    GDPR,
    ExtensionFault,
    Law,
    Pause,
    Span,
    add_months,
    days_left,
    due_at,
    extension_fault,
    first_reminder,
    next_reminder,
    next_working_day,
)


def noon(text: str) -> datetime:
    return datetime.fromisoformat(text + "T12:00:00+00:00")


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        ("2026-03-05", "2026-04-06"),  # 5 April 2026 is a Sunday
        ("2026-01-31", "2026-03-02"),  # February has no 31st; the 28th is a Saturday
        ("2028-01-31", "2028-02-29"),  # leap year, a Tuesday
        ("2026-05-31", "2026-06-30"),  # June has no 31st
        ("2026-12-15", "2027-01-15"),  # over the year's end, a Friday
    ],
)
def test_gdpr_gives_one_calendar_month_and_then_the_next_working_day(asked: str, due: str) -> None:
    assert due_at(noon(asked), GDPR) == datetime.fromisoformat(due + "T23:59:59+00:00")


def test_gdpr_is_extended_by_two_further_months() -> None:
    assert due_at(noon("2026-03-05"), GDPR, extended=True).date() == date(2026, 6, 5)


def test_ccpa_counts_45_calendar_days_whatever_day_they_end_on() -> None:
    assert due_at(noon("2026-03-05"), CCPA).date() == date(2026, 4, 19)  # a Sunday
    assert due_at(noon("2026-03-05"), CCPA, extended=True).date() == date(2026, 6, 3)


def test_holidays_move_the_day_as_weekends_do() -> None:
    easter_monday = {date(2026, 4, 6)}
    assert due_at(noon("2026-03-05"), GDPR, holidays=easter_monday).date() == date(2026, 4, 7)


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        ("2026-01-01T20:00:00-08:00", "2026-02-15"),  # the 2nd in UTC
        ("2026-01-02T07:59:59+00:00", "2026-02-15"),
        ("2026-01-02T08:00:00+00:00", "2026-02-16"),
        ("2026-07-01T23:30:00-07:00", "2026-08-15"),
        ("2026-07-02T00:30:00-07:00", "2026-08-15"),  # a day early, in summer time
    ],
)
def test_ccpa_takes_the_day_of_the_request_in_california(asked: str, due: str) -> None:
    assert due_at(datetime.fromisoformat(asked), CCPA) == datetime.fromisoformat(
        due + "T23:59:59+00:00"
    )


def test_the_day_of_the_request_is_taken_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    asked = datetime(2026, 3, 10, 1, 0, tzinfo=tokyo)  # still the 9th in UTC
    assert due_at(asked, GDPR).date() == date(2026, 4, 9)


def test_a_pause_moves_the_day_by_its_whole_length_rounded_up() -> None:
    start = noon("2026-03-10")
    pauses = [Pause(start, start + timedelta(days=2, hours=1))]
    # 5 April and 3 days is 8 April, a Wednesday.
    assert due_at(noon("2026-03-05"), GDPR, pauses=pauses).date() == date(2026, 4, 8)


def test_a_pause_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="before it starts"):
        Pause(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("day", "months", "result"),
    [
        ("2026-11-30", 3, "2027-02-28"),
        ("2026-12-01", 1, "2027-01-01"),
        ("2026-01-15", 12, "2027-01-15"),
    ],
)
def test_months_are_added_by_day_number(day: str, months: int, result: str) -> None:
    assert add_months(date.fromisoformat(day), months) == date.fromisoformat(result)


def test_a_working_day_stays() -> None:
    assert next_working_day(date(2026, 4, 8)) == date(2026, 4, 8)


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        ("2026-01-31", "2026-04-30"),  # April has no 31st; a Thursday
        ("2025-11-30", "2026-03-02"),  # February has no 30th; the 28th is a Saturday
        ("2027-11-30", "2028-02-29"),  # leap year, a Tuesday
        ("2027-11-29", "2028-02-29"),
        ("2026-10-31", "2027-02-01"),  # 31 January 2027 is a Sunday
    ],
)
def test_an_extension_counts_three_months_from_the_request_itself(asked: str, due: str) -> None:
    """Not two from the first due date, which may be a shorter month's last day."""
    extended = due_at(noon(asked), GDPR, extended=True)
    assert extended == datetime.fromisoformat(due + "T23:59:59+00:00")


def test_a_pause_over_the_end_of_a_short_month_counts_days_after_the_month_rule() -> None:
    # 31 January: 28 February, then two days: 2 March 2026, a Monday.
    pause = Pause(noon("2026-02-10"), noon("2026-02-12"))
    assert due_at(noon("2026-01-31"), GDPR, pauses=[pause]).date() == date(2026, 3, 2)
    # In a leap year 29 February and two days: 2 March 2028, a Thursday.
    pause = Pause(noon("2028-02-10"), noon("2028-02-12"))
    assert due_at(noon("2028-01-31"), GDPR, pauses=[pause]).date() == date(2028, 3, 2)


def test_several_pauses_are_added_up_before_they_are_rounded_to_days() -> None:
    hours = [
        Pause(noon("2026-03-10"), noon("2026-03-10") + timedelta(hours=10)),
        Pause(noon("2026-03-12"), noon("2026-03-12") + timedelta(hours=14)),
    ]
    # 6 March gives 6 April, a Monday; one day in all.
    assert due_at(noon("2026-03-06"), GDPR, pauses=hours).date() == date(2026, 4, 7)


def test_a_pause_moves_the_extended_day_too() -> None:
    pause = Pause(noon("2026-03-10"), noon("2026-03-17"))
    # 5 June and seven days is 12 June, a Friday.
    extended = due_at(noon("2026-03-05"), GDPR, extended=True, pauses=[pause])
    assert extended.date() == date(2026, 6, 12)


ASKED, DUE = noon("2026-03-05"), datetime(2026, 4, 6, 23, 59, 59, tzinfo=UTC)
LAST = DUE
AFTER = DUE + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("notified", "now", "fault"),
    [
        (noon("2026-03-20"), noon("2026-03-20"), None),
        (LAST, LAST, None),
        (ASKED - timedelta(hours=12), noon("2026-03-20"), None),  # a date alone, of the same day
        (noon("2026-03-20"), AFTER, ExtensionFault.PERIOD_OVER),
        (noon("2026-03-20"), noon("2026-03-19"), ExtensionFault.NOT_YET_TOLD),
        (noon("2026-03-04"), noon("2026-03-19"), ExtensionFault.TOLD_BEFORE_ASKING),
    ],
)
def test_an_extension_needs_the_person_told_within_the_first_period(
    notified: datetime, now: datetime, fault: ExtensionFault | None
) -> None:
    found = extension_fault(GDPR, submitted=ASKED, due=DUE, notified=notified, now=now)
    assert found is fault


def test_while_the_clock_stands_still_the_first_period_is_not_over() -> None:
    def fault(paused_since: str) -> ExtensionFault | None:
        return extension_fault(
            GDPR,
            submitted=ASKED,
            due=DUE,
            notified=noon("2026-05-01"),
            now=noon("2026-05-02"),
            paused_since=noon(paused_since),
        )

    assert fault("2026-04-06") is None
    assert fault("2026-04-07") is ExtensionFault.PERIOD_OVER


def test_a_law_without_an_extension_gives_none() -> None:
    law = Law(first=Span(days=10))
    when = {"submitted": ASKED, "due": DUE, "notified": ASKED, "now": ASKED}
    assert extension_fault(law, **when) is ExtensionFault.NONE_ALLOWED
    with pytest.raises(ValueError, match="knows no extension"):
        due_at(ASKED, law, extended=True)


def test_only_the_gdpr_stops_its_clock_for_a_question_of_identity() -> None:
    assert GDPR.identity_stops_the_clock
    assert not CCPA.identity_stops_the_clock


DUE = datetime.fromisoformat("2026-04-06T23:59:59+00:00")


@pytest.mark.parametrize(
    ("now", "left", "following"),
    [
        ("2026-03-20T00:00:00", None, "2026-03-27T23:59:59"),
        ("2026-03-27T23:59:58", None, "2026-03-27T23:59:59"),
        ("2026-03-27T23:59:59", 10, "2026-04-01T23:59:59"),
        ("2026-04-01T23:59:58", 10, "2026-04-01T23:59:59"),
        ("2026-04-01T23:59:59", 5, "2026-04-04T23:59:59"),
        ("2026-04-05T00:00:00", 2, "2026-04-07T00:00:00"),
        ("2026-04-06T23:59:59", 2, "2026-04-07T00:00:00"),
        ("2026-04-07T00:00:00", 0, None),
        ("2027-01-01T00:00:00", 0, None),
    ],
)
def test_reminders_come_ten_five_and_two_days_before_and_once_after(
    now: str, left: int | None, following: str | None
) -> None:
    at = datetime.fromisoformat(now + "+00:00")
    assert days_left(DUE, at) == left
    assert next_reminder(DUE, at) == (
        datetime.fromisoformat(following + "+00:00") if following else None
    )


def test_the_first_look_is_at_the_first_reminder_or_at_once() -> None:
    early, late = noon("2026-03-05"), noon("2026-04-05")
    assert first_reminder(DUE, early) == datetime.fromisoformat("2026-03-27T23:59:59+00:00")
    assert first_reminder(DUE, late) == late
