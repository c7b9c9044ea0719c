"""What a check found: how bad it is, what it means, and what to do about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

SHOWN = 5
Named = TypeVar("Named")


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """`action` is empty only where nothing is to be done."""

    area: str
    level: Level
    says: str
    action: str = ""


def ok(area: str, says: str) -> Finding:
    return Finding(area, Level.OK, says)


def warning(area: str, says: str, action: str) -> Finding:
    return Finding(area, Level.WARNING, says, action)


def problem(area: str, says: str, action: str) -> Finding:
    return Finding(area, Level.PROBLEM, says, action)


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def some(found: Sequence[Named], written: Callable[[Named], str] = str, shown: int = SHOWN) -> str:
    """The first few by name, and how many more there are."""
    more = f" and {len(found) - shown} more" if len(found) > shown else ""
    return ", ".join(written(each) for each in found[:shown]) + more
