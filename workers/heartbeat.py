"""Keeps a run's lease alive while it computes, and stops the process when the lease is lost."""

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import SQLAlchemyError

from app.erasure import leases
from app.erasure.locks import LeaseLost
from app.erasure.states import RUN, RunState
from app.observability import fields
from app.runtime import Runtime

log = logging.getLogger("lotus.runner")

# Tells the supervisor that nothing went wrong: the run was cancelled or belongs to another.
EXIT_LEASE_LOST = 75
RENEWALS_PER_LEASE = 4
# A run that shows no progress for as long as it may be in this state at all is taken to hang.
EXIT_HANGS = 1
LONGEST_STANDSTILL = RUN[RunState.RUNNING].longest or timedelta(days=1)


class Heartbeat:
    """Renews from a thread, four times a lease, and carries the progress with it. `fence` is that
    of a run or, with the `renew` that belongs to it, of a re-check.

    Whoever lost the lease must not go on for even one step, so the thread ends the whole process;
    nothing is lost with it, since every write is fenced. A database that does not answer is no lost
    lease: the next beat tries again, and the lease runs out by itself if none succeeds.
    """

    def __init__(
        self,
        runtime: Runtime,
        fence: Any,
        *,
        end: Callable[[int], Any] = os._exit,
        renew: Callable[..., None] | None = None,
        longest: timedelta | None = None,
    ) -> None:
        self._runtime, self._fence, self._end = runtime, fence, end
        self._renew, self._longest = renew or leases.renew, longest or LONGEST_STANDSTILL
        self._lease = timedelta(seconds=runtime.settings.lease_seconds)
        self._moved_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def moved(self) -> None:
        """The run got on."""
        self._moved_at = time.monotonic()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._lease.total_seconds() / RENEWALS_PER_LEASE):
            if time.monotonic() - self._moved_at > self._longest.total_seconds():
                log.error("the work hangs", extra=fields(work=self._fence.identity))
                self._end(EXIT_HANGS)
                return
            try:
                with self._runtime.database.write() as session:
                    self._renew(session, self._fence, lease=self._lease, now=datetime.now(UTC))
            except LeaseLost:
                log.warning("lease lost", extra=fields(work=self._fence.identity))
                self._end(EXIT_LEASE_LOST)
                return
            except SQLAlchemyError:
                log.exception("lease not renewed")
