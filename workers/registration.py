"""Checks whatever waits to be registered, then ends: `python -m workers.registration`.

A process of its own: it reads files that strangers wrote, and whatever they do to it ends with it.
"""

import logging
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from app import observability
from app.clock import utc_now
from app.config import Settings
from app.http.problems import Problem
from app.observability import fields
from app.registry import checks
from app.registry.attempts import RegistrationCrashed
from app.registry.checks import (
    DatasetCheck,
    LostRegistration,
    VersionCheck,
)
from app.registry.turns import Turns
from app.runtime import Runtime
from workers import dataset_check
from workers.bounds import bound_memory
from workers.content import ContentProblem, SuppressedPersons, too_large
from workers.leftovers import clear_leftovers
from workers.parent import end_with_parent
from workers.watchdog import unwatch, watch

log = logging.getLogger("lotus.registration")

# Extends a lease when this part of it has gone by.
BEAT_SHARE = 1 / 3
# A single step of a check (reading one batch, writing one part) that takes longer than both hangs.
LONGEST_STEP_IN_LEASES = 10
LONGEST_STEP = timedelta(minutes=10)
EXIT_LEASE_LOST = 75


def _no_step() -> None:
    """Nobody watches."""


def process_pending(
    runtime: Runtime, now_fn: Callable[[], datetime], *, step: Callable[[], None] = _no_step
) -> int:
    """Ends every registration that can be taken, and destroys the uploads that nobody needs any
    more; returns how many were ended. Calls `step` as long as it gets on.

    Raises LostRegistration if a lease ran out: whoever stood still so long had better begin anew.
    """
    ended = 0
    turns = Turns()
    while (check := _take(runtime, turns, now_fn)) is not None:
        step()
        ended += _process(runtime, check, now_fn, step)
        clear_leftovers(runtime, now=now_fn())
    clear_leftovers(runtime, now=now_fn())
    return ended


def _take(
    runtime: Runtime, turns: Turns, now_fn: Callable[[], datetime]
) -> DatasetCheck | VersionCheck | None:
    lease = timedelta(seconds=runtime.settings.lease_seconds)
    with runtime.database.write() as session:
        return turns.take(session, now=now_fn(), lease=lease)


def _process(
    runtime: Runtime,
    check: DatasetCheck | VersionCheck,
    now_fn: Callable[[], datetime],
    step: Callable[[], None],
) -> bool:
    """True if the registration came to its end here."""
    beat = _beat(runtime, check, now_fn, step)
    try:
        try:
            _register(runtime, check, beat, now_fn)
        except (ContentProblem, RegistrationCrashed) as problem:
            _end_invalid(runtime, check, problem, now_fn())
        except MemoryError:
            _end_invalid(runtime, check, too_large(), now_fn())
    except LostRegistration:
        raise
    except Exception as error:
        # Not the content's fault, as far as is known: the lease runs out and it is tried again.
        # The message is left out, since it may hold what the file holds.
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("registration failed", extra=fields(error=type(error).__name__, where=where))
        return False
    return True


def _register(
    runtime: Runtime,
    check: DatasetCheck | VersionCheck,
    beat: Callable[[], None],
    now_fn: Callable[[], datetime],
) -> None:
    if isinstance(check, DatasetCheck):
        dataset_check.register(runtime, check, beat=beat, now_fn=now_fn)
        return
    # PyTorch takes seconds to load, and datasets do without it.
    from workers import weights_check

    weights_check.register(runtime, check, beat=beat, now_fn=now_fn)


def _beat(
    runtime: Runtime,
    check: DatasetCheck | VersionCheck,
    now_fn: Callable[[], datetime],
    step: Callable[[], None],
) -> Callable[[], None]:
    lease = timedelta(seconds=runtime.settings.lease_seconds)
    renewed_at = now_fn()

    def beat() -> None:
        """A database that does not answer is asked again, until the lease has run out."""
        nonlocal renewed_at
        step()
        now = now_fn()
        if now - renewed_at < lease * BEAT_SHARE:
            return
        try:
            with runtime.database.write() as session:
                checks.keep(session, check, until=now + lease)
        except SQLAlchemyError as error:
            if now_fn() - renewed_at >= lease:
                raise LostRegistration from error
            return
        renewed_at = now

    return beat


def _end_invalid(
    runtime: Runtime, check: DatasetCheck | VersionCheck, problem: Problem, now: datetime
) -> None:
    rows = problem.rows if isinstance(problem, SuppressedPersons) else None
    with runtime.database.write() as session:
        if isinstance(check, DatasetCheck):
            checks.end_dataset_invalid(session, check, problem, suppressed_rows=rows, now=now)
        else:
            checks.end_version_invalid(session, check, problem, now=now)


def main() -> int:
    end_with_parent()
    settings = Settings()
    observability.configure(settings.log_level)
    bound_memory(settings.check_memory_bytes)
    runtime = Runtime.open(settings)
    lease = timedelta(seconds=settings.lease_seconds)
    longest = max(LONGEST_STEP, lease * LONGEST_STEP_IN_LEASES)
    try:
        process_pending(runtime, utc_now, step=watch(longest))
    except LostRegistration:
        log.warning("registration lost its lease")
        return EXIT_LEASE_LOST
    finally:
        unwatch()
        runtime.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
