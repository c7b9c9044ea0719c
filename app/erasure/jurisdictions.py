"""Public holidays, by the place whose holidays count for a controller's deadlines.

Of the library `holidays`: the days off that the law of a country, or of one of its parts, gives to
everybody. Local ones (of a town), bank holidays and days that are only observed are not among them.
The library is large, so it is loaded where somebody has a jurisdiction.
"""

from collections.abc import Container
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Annotated

from pydantic import StringConstraints

# ISO 3166-1 alpha-2, or ISO 3166-2 with the part that the library names.
PATTERN = r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"
Jurisdiction = Annotated[str, StringConstraints(pattern=PATTERN)]


class UnknownJurisdiction(ValueError):
    """Nobody knows the holidays of this place."""


@dataclass(frozen=True)
class _Days:
    """The holidays of a place."""

    country: str
    part: str | None

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and day in _of_year(self.country, self.part, day.year)


def holidays_of(jurisdiction: str | None) -> Container[date]:
    """None: no day is a holiday, which never makes a deadline later than the law does."""
    if jurisdiction is None:
        return frozenset()
    country, _, part = jurisdiction.partition("-")
    if part not in ("", *_parts_of(country)):
        raise UnknownJurisdiction(jurisdiction)
    return _Days(country, part or None)


@cache
def _parts_of(country: str) -> frozenset[str]:
    import holidays

    try:
        found = holidays.country_holidays(country)
    except NotImplementedError:
        raise UnknownJurisdiction(country) from None
    return frozenset(found.subdivisions)


@cache
def _of_year(country: str, part: str | None, year: int) -> frozenset[date]:
    """Whole before anybody sees it: the library's own objects take a year in while others ask, who
    would then find no holiday in it."""
    import holidays

    return frozenset(
        holidays.country_holidays(country, subdiv=part, years=year, expand=False, observed=False)
    )
