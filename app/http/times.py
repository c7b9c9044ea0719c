"""Times that a caller gives."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError

FIRST_YEAR, LAST_YEAR = 1900, 9000


# RFC 3339, with the zone left for the next check to miss.
_FORM = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def _text(value: Any) -> Any:
    """No number: of a legal date nobody should have to guess whether it counts seconds."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and _FORM.fullmatch(value)):
        raise PydanticCustomError("rfc3339", "not a time in RFC 3339")
    return value


def _in_utc(value: datetime) -> datetime:
    """Within a day of the calendar's ends a time cannot be shown in every zone, nor can anything be
    added to it."""
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise PydanticCustomError("year_range", "the year is out of range")
    return value.astimezone(UTC)


# Has a zone, in any; is given on in UTC.
Time = Annotated[AwareDatetime, BeforeValidator(_text), AfterValidator(_in_utc)]
