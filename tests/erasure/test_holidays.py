"""Whose public holidays a request's due dates are reckoned with."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import holidays
import pytest
from sqlalchemy import select

from app.erasure.jurisdictions import UnknownJurisdiction, holidays_of
from app.keys.tables import Controller
from app.runtime import Runtime
from tests.erasure.conftest import Cases, Clock
from tests.erasure.log_of import entries_of


def works_in(runtime: Runtime, place: str | None) -> None:
    with runtime.database.write() as session:
        for controller in session.scalars(select(Controller)):
            controller.jurisdiction = place


@pytest.mark.parametrize(
    ("place", "day", "off"),
    [
        (None, date(2026, 12, 25), False),
        ("DE", date(2026, 4, 6), True),  # Easter Monday
        ("NL", date(2026, 4, 6), True),
        ("DE-BE", date(2026, 3, 8), True),  # Women's Day, in Berlin and not in Bavaria
        ("DE-BY", date(2026, 3, 8), False),
        ("FR", date(2026, 7, 14), True),
        ("IE", date(2026, 3, 17), True),
        ("US", date(2026, 4, 6), False),
    ],
)
def test_holidays_are_those_of_the_place(place: str | None, day: date, off: bool) -> None:
    assert (day in holidays_of(place)) is off


@pytest.mark.parametrize("place", ["ZZ", "DE-ZZ"])
def test_a_place_that_nobody_knows_is_refused(place: str) -> None:
    with pytest.raises(UnknownJurisdiction):
        holidays_of(place)


def test_who_asks_while_a_year_is_being_taken_in_finds_its_holidays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    christmas = date(2071, 12, 25)
    populate = holidays.HolidayBase._populate

    def slowly(days: holidays.HolidayBase, year: int) -> None:
        time.sleep(0.05)
        populate(days, year)

    monkeypatch.setattr(holidays.HolidayBase, "_populate", slowly)
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda _: christmas in holidays_of("PT"), range(8)))


def test_the_controller_s_holidays_move_the_date_and_stay_with_the_request(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    before = cases.submit("ada")
    works_in(runtime, "DE")
    # One month from 5 March is Easter Sunday, and Monday is a holiday too.
    request = cases.submit("ben")
    seen = cases.get(request)
    assert (seen["due_at"], seen["deadline"]["jurisdiction"]) == ("2026-04-07T23:59:59Z", "DE")
    assert entries_of(runtime, request, "erasure:request:received")[0]["jurisdiction"] == "DE"
    works_in(runtime, None)
    assert cases.get(request)["due_at"] == "2026-04-07T23:59:59Z"
    seen = cases.get(before)
    assert (seen["due_at"], seen["deadline"]["jurisdiction"]) == ("2026-04-06T23:59:59Z", None)


def test_a_pause_and_an_extension_reckon_with_the_request_s_own_holidays(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    works_in(runtime, "DE")
    clock.at("2026-02-24")
    request = cases.submit("ada")  # due on 24 March
    works_in(runtime, None)
    clock.at("2026-03-02")
    cases.hold(request, "identity_question")
    clock.at("2026-03-12")
    # Ten days later is 3 April, Good Friday; then Easter.
    seen: dict[str, Any] = cases.resume(request).json()
    assert seen["due_at"] == "2026-04-07T23:59:59Z"
    # Three months, 24 May, and ten days: 3 June, a Wednesday that is no holiday in all of Germany.
    seen = cases.extend(request, notified_at="2026-03-11T12:00:00Z").json()
    assert seen["due_at"] == "2026-06-03T23:59:59Z"


def test_the_ccpa_counts_calendar_days_everywhere(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    works_in(runtime, "US")
    clock.at("2026-05-20")
    request = cases.submit("ada", regulation="ccpa")
    assert cases.get(request)["due_at"] == "2026-07-04T23:59:59Z"  # Independence Day, a Saturday
