"""Public holidays, by the place whose holidays count for a controller's deadlines.

Of the library `holidays`: the days off that the law of a country, or of one of its parts, gives to
everybody. Local ones (of a town), bank holidays and days that are only observed are not among them.
"""

from collections.abc import Container
from datetime import date
from functools import cache
from typing import Annotated

import holidays
from pydantic import StringConstraints

# ISO 3166-1 alpha-2, or ISO 3166-2 with the part that the library names.
PATTERN = r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"
Jurisdiction = Annotated[str, StringConstraints(pattern=PATTERN)]


class UnknownJurisdiction(ValueError):
    """Nobody knows the holidays of this place."""


@cache
def holidays_of(jurisdiction: str | None) -> Container[date]:
    """None: no day is a holiday, which never makes a deadline later than the law does."""
    if jurisdiction is None:
        return frozenset()
    country, _, part = jurisdiction.partition("-")
    try:
        return holidays.country_holidays(country, subdiv=part or None, observed=False)
    except NotImplementedError:
        raise UnknownJurisdiction(jurisdiction) from None
