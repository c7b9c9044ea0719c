"""Tells waiting workers that there may be work. May fail: the sweep finds what a lost ring missed.

On a single machine the bell is a byte in a FIFO of the data folder.
"""

import logging
import os
from pathlib import Path

from sqlalchemy.orm import Session

from app.config import Settings
from app.db import after_commit
from app.observability import fields

log = logging.getLogger("lotus.bell")


def ring(settings: Settings) -> None:
    _ring_fifo(settings.bell_path)


def ring_after_commit(session: Session, settings: Settings) -> None:
    """A bell before the commit would wake a worker that finds nothing yet."""
    after_commit(session, "bell", lambda: ring(settings))


def _ring_fifo(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(descriptor, b"!")
        finally:
            os.close(descriptor)
    except OSError as error:
        # Nobody listens, the pipe is full, or worse: the call that rings has committed, so nothing
        # may fail it any more, and a worker will look of its own accord.
        log.debug("bell not heard", extra=fields(errno=error.errno))
