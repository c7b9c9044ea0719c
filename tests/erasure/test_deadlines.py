from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from app.erasure.deadlines import Pause, add_months, due_at, next_working_day


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
    assert due_at(noon(asked), "gdpr") == datetime.fromisoformat(due + "T23:59:59+00:00")


def test_gdpr_is_extended_by_two_further_months() -> None:
    assert due_at(noon("2026-03-05"), "gdpr", extended=True).date() == date(2026, 6, 5)


def test_ccpa_counts_45_calendar_days_whatever_day_they_end_on() -> None:
    assert due_at(noon("2026-03-05"), "ccpa").date() == date(2026, 4, 19)  # a Sunday
    assert due_at(noon("2026-03-05"), "ccpa", extended=True).date() == date(2026, 6, 3)


def test_holidays_move_the_day_as_weekends_do() -> None:
    easter_monday = {date(2026, 4, 6)}
    assert due_at(noon("2026-03-05"), "gdpr", holidays=easter_monday).date() == date(2026, 4, 7)


def test_the_day_of_the_request_is_taken_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    asked = datetime(2026, 3, 10, 1, 0, tzinfo=tokyo)  # still the 9th in UTC
    assert due_at(asked, "gdpr").date() == date(2026, 4, 9)


def test_a_pause_moves_the_day_by_its_whole_length_rounded_up() -> None:
    start = noon("2026-03-10")
    pauses = [Pause(start, start + timedelta(days=2, hours=1))]
    # 5 April and 3 days is 8 April, a Wednesday.
    assert due_at(noon("2026-03-05"), "gdpr", pauses=pauses).date() == date(2026, 4, 8)


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
