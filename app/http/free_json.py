"""JSON whose shape a schema cannot know: bounded, and free of what a database cannot keep.

Run before pydantic's own check, so that an error names the field that holds the JSON and not a key
that the caller made up.
"""

import math
from typing import Any

DEEPEST = 6
MOST_VALUES = 1_000
LONGEST_TEXT = 1_000
# Beyond this, JSON readers that hold numbers as doubles no longer agree on an integer.
LARGEST_INTEGER = 2**53


def free_json(value: Any) -> Any:
    """An object of plain JSON values; ValueError otherwise."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    budget = MOST_VALUES
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        part, depth = waiting.pop()
        budget -= 1
        if budget < 0 or depth > DEEPEST:
            raise ValueError("is too large or too deep")
        if isinstance(part, dict):
            for key in part:
                _check_text(key)
            waiting += [(inner, depth + 1) for inner in part.values()]
        elif isinstance(part, list):
            waiting += [(inner, depth + 1) for inner in part]
        else:
            _check_scalar(part)
    return value


def _check_scalar(value: Any) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise ValueError("has an integer that is too large")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("has a number that is not finite")
    else:
        _check_text(value)


def _check_text(value: Any) -> None:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or "\x00" in value:
        raise ValueError("has a text that cannot be kept")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("has a text that is not valid Unicode") from None
