"""Long writes, cut into transactions so short that nobody who waits for the database notices.

SQLite has one lock for all writers, and those who wait for it only look now and then. So each part
holds it for a fraction of a second, and leaves it alone for a while after.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from sqlalchemy.orm import Session

from app.registry import checks
from app.registry.checks import DatasetCheck
from app.runtime import Runtime

T = TypeVar("T")

ROWS = 5_000
FILES = 20
# The rest after a part, as a share of the time that the part took.
REST = 0.25


@contextmanager
def part(runtime: Runtime, check: DatasetCheck) -> Iterator[Session]:
    """One transaction in which nobody else can take the registration over.

    Raises LostRegistration if somebody has.
    """
    with runtime.database.write() as session:
        began = time.monotonic()
        checks.hold(session, check)
        yield session
    if runtime.database.is_sqlite:
        time.sleep((time.monotonic() - began) * REST)


def cut(things: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(things)
    while some := list(islice(remaining, size)):
        yield some
