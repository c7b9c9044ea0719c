"""How evidence is written down: one encoding, and the only types that may stand in it.

Log entries and certificates are hashed and signed as bytes, so the same facts must always give the
same bytes, and nothing that a person could be known by may get in: ids, codes, times, numbers and
digests only.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, PlainSerializer

# Made once: every entry of the log is written by it.
_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
)


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, ASCII only; NaN and infinities are refused with ValueError."""
    return _CANONICAL.encode(value).encode("ascii")


def instant_text(value: datetime) -> str:
    """RFC 3339 in UTC, always with six decimals: `2026-01-31T12:00:00.000000Z`."""
    # Several times as fast as `strftime`, which pads no year.
    return value.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


Instant = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    PlainSerializer(instant_text, return_type=str),
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A member of one of the service's enums, or a problem code: never a text that somebody typed.
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Count = Annotated[int, Field(ge=0)]
