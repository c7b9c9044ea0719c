"""Times that a caller gives."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime
from pydantic_core import PydanticCustomError

FIRST_YEAR, LAST_YEAR = 1900, 9000


def _in_utc(value: datetime) -> datetime:
    """Within a day of the calendar's ends a time cannot be shown in every zone, nor can anything be
    added to it."""
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise PydanticCustomError("year_range", "the year is out of range")
    return value.astimezone(UTC)


# Has a zone, in any; is given on in UTC.
Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]
