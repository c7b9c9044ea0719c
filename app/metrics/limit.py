"""A limit on how long reading may take, so that a scrape never becomes the database's burden."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.orm import Session

# SQLite asks after so many steps of its virtual machine whether to go on.
_STEPS = 10_000


@contextmanager
def limited(session: Session, seconds: float) -> Iterator[None]:
    """Statements inside raise OperationalError once the time is over: on PostgreSQL each of them
    has it, on SQLite all of them together."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))
        session.execute(text(f"SET LOCAL lock_timeout = {int(seconds * 1000)}"))
        yield
        return
    connection = session.connection().connection.driver_connection
    assert connection is not None
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)
