"""Claims runs and re-checks, and sees each through in a process of its own. Never imports torch.

The loop of a single machine and the Celery worker of a fleet share everything here; they differ in
who wakes them. Each may end at any moment, since the database knows what they held.
"""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from app import clock
from app.clock import utc_now
from app.erasure import queue, rechecks
from app.erasure.locks import LeaseLost
from app.erasure.queue import Candidate
from app.erasure.tables import ErrorClass
from app.observability import VARIABLE, current_request_id, fields
from app.runtime import Runtime
from workers import roster
from workers.heartbeat import EXIT_LEASE_LOST
from workers.parent import PARENT_PID
from workers.persistence import persist
from workers.work import RECHECKING, UNLEARNING, Claim, Work

log = logging.getLogger("lotus.worker")

# How long a model whose rows cannot be worked with is left alone.
SET_ASIDE = timedelta(minutes=5)
STOP_SECONDS = 10.0
LONG_AGO = datetime.min.replace(tzinfo=UTC)
# Importing libraries takes seconds; what takes longer than this hangs.
LONGEST_START = timedelta(minutes=5)
# How often a run's lease is looked at from outside its process.
LOOKS_PER_LEASE = 8
LONGEST_BETWEEN_LOOKS = timedelta(seconds=5)
# The first that can be read: those of a container's control group, then the whole machine's.
MEMORY_EVENTS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))
# The process of work that has ended, or was cancelled, has to let go of its device and to unload
# libraries, which takes long on a busy machine.
LONGEST_EXIT = timedelta(seconds=60)
# How long the end of a run is kept trying to be written; then its lease runs out by itself.
REPORT_SECONDS = 30.0


class Held:
    """A claimed run or re-check, and the process that computes it."""

    def __init__(
        self,
        runtime: Runtime,
        worker: UUID,
        work: Work,
        claim: Claim,
        environment: Mapping[str, str],
    ) -> None:
        self._runtime, self._worker, self.work, self.claim = runtime, worker, work, claim
        self._kills = memory_kills()
        fence = claim.fence
        self.process = start(
            work.module, fence.identity.hex, str(fence.attempt), environment=environment
        )
        self._claimed_at = datetime.now(UTC)
        self._next_look = LONG_AGO
        self._lost_since: datetime | None = None

    def ended(self, now: datetime) -> bool:
        """Looks once. A process that ended without a result gives its work back at once, not after
        the lease; one that stands still with a lease that is no longer its own is killed."""
        code = self.process.poll()
        if code is None:
            return self._stands_still(now)
        if code not in (0, EXIT_LEASE_LOST):
            self._give_back(code)
        return True

    def put_down(self, now: datetime) -> None:
        """The worker stops, through no fault of the work: it waits, and loses no attempt."""
        end(self.process)

        def write() -> None:
            with self._runtime.database.write() as session:
                self.work.put_down(session, self.claim.fence, worker=self._worker, now=now)

        with suppress(LeaseLost):  # it had just ended, one way or the other
            persist(write, seconds=STOP_SECONDS)
            log.info("work put down", extra=self._named())

    def _stands_still(self, now: datetime) -> bool:
        """True if the process had to be killed. It ends by itself when it loses its lease, unless
        nothing in it moves any more: a call into a driver that hangs, a stopped process."""
        lease = timedelta(seconds=self._runtime.settings.lease_seconds)
        if now < self._next_look:
            return False
        self._next_look = now + min(lease / LOOKS_PER_LEASE, LONGEST_BETWEEN_LOOKS)
        with self._runtime.database.read() as session:
            found = self.work.look(session, self.claim.fence)
        due = found.until is not None and found.until - now < lease / 2
        if found.held:
            self._lost_since = None
            if not found.begun and due and now - self._claimed_at < LONGEST_START:
                self._renew(lease, now)
            return False
        self._lost_since = self._lost_since or now
        if now - self._lost_since < (max(lease / 2, LONGEST_EXIT) if found.over else lease / 2):
            return False
        if found.over:
            log.info("process of ended work did not exit, and is killed", extra=self._named())
        else:
            log.error("process stands still without its lease", extra=self._named())
        self.process.kill()
        self.process.wait()
        return True

    def _renew(self, lease: timedelta, now: datetime) -> None:
        """Loading libraries can take longer than a short lease; from its first sign of progress
        the process renews for itself."""
        with suppress(LeaseLost), self._runtime.database.write() as session:
            self.work.renew(session, self.claim.fence, lease=lease, now=now)

    def _give_back(self, code: int) -> None:
        error_class, detail = self._meaning(code)
        told = fields(work=self.claim.fence.identity, code=code, error_class=error_class)
        log.warning("process ended", extra=told)

        def write() -> None:
            with self._runtime.database.write() as session:
                self.work.give_back(
                    session,
                    self._runtime.keyring,
                    self.claim.fence,
                    error_class=error_class,
                    detail=detail,
                    worker=self._worker,
                    now=datetime.now(UTC),
                )

        with suppress(LeaseLost):  # it ended because the work was no longer its own
            persist(write, seconds=REPORT_SECONDS)

    def _named(self) -> dict[str, dict[str, Any]]:
        return fields(**{self.work.name: self.claim.fence.identity})

    def _meaning(self, code: int) -> tuple[ErrorClass, str]:
        if code >= 0:
            return ErrorClass.CRASHED, f"The process ended with code {code}."
        name = signal.Signals(-code).name
        if -code == signal.SIGKILL and memory_kills() > self._kills:
            return ErrorClass.OUT_OF_MEMORY, "The machine ran out of memory and ended the process."
        return ErrorClass.CRASHED, f"The process was ended by {name}."


class Supervisor:
    """One worker's claims. `environment` is what its children get beside the worker's own."""

    def __init__(
        self, runtime: Runtime, worker: UUID, environment: Mapping[str, str] | None = None
    ) -> None:
        self.runtime, self.worker = runtime, worker
        self.environment = dict(environment or {})
        self.set_aside: dict[tuple[str, UUID], datetime] = {}

    def next_work(self, now: datetime) -> Held | None:
        """Claims what should be next and starts it; None if nothing is ready."""
        with self.runtime.database.read() as session:
            candidates = in_turn(
                queue.candidates(session, coalesce=self.runtime.settings.coalesce, now=now),
                rechecks.candidates(session, now=now),
            )
            if candidates and clock.is_off(session, utc_now):
                # Others would take its leases for expired, or it would theirs.
                log.error("this machine's clock is off: nothing is claimed")
                return None
        for work, model in candidates:
            if self.set_aside.get((work.name, model), now) > now:
                continue
            try:
                claim = self._claim(work, model, now)
            except OperationalError:
                raise  # the database is away, which is no fault of this model's
            except Exception:
                # Whatever is wrong with this model must not stop the others.
                log.exception("model set aside", extra=fields(model=model, work=work.name))
                self.set_aside[work.name, model] = now + SET_ASIDE
                continue
            if claim is not None:
                return self._start(work, claim)
        return None

    def let_go(self) -> None:
        """The work has ended: the worker is free."""
        self._note_run(None)

    def _claim(self, work: Work, model: UUID, now: datetime) -> Claim | None:
        lease = timedelta(seconds=self.runtime.settings.lease_seconds)
        with self.runtime.database.write() as session:
            return work.claim(
                session, self.runtime.keyring, self.worker, model, lease=lease, now=now
            )

    def _start(self, work: Work, claim: Claim) -> Held:
        fence = claim.fence
        named = {work.name: fence.identity}
        log.info(f"{work.name} claimed", extra=fields(**named, attempt=fence.attempt))
        try:
            held = Held(self.runtime, self.worker, work, claim, self.environment)
        except OSError:
            # No process to be had: no fault of the work's.
            with self.runtime.database.write() as session:
                work.put_down(session, fence, worker=self.worker, now=datetime.now(UTC))
            raise
        if work is UNLEARNING:
            self._note_run(fence.identity)
        return held

    def _note_run(self, run: UUID | None) -> None:
        """For those who look at the workers; nothing depends on it."""
        try:
            with self.runtime.database.write() as session:
                roster.note_run(session, self.worker, run)
        except SQLAlchemyError:
            log.warning("current run not noted", exc_info=True)


def in_turn(runs: Sequence[Candidate], waiting: Sequence[Candidate]) -> list[tuple[Work, UUID]]:
    """What may be claimed, in turn. Runs keep their order; re-checks come before all of them unless
    a run is due earlier: they take seconds, and a case may wait for one to be closed."""
    first_due = min((run.due_at for run in runs), default=None)
    early = [one for one in waiting if first_due is None or one.due_at <= first_due]
    late = [one for one in waiting if one not in early]
    return [
        *((RECHECKING, one.model_id) for one in early),
        *((UNLEARNING, one.model_id) for one in runs),
        *((RECHECKING, one.model_id) for one in late),
    ]


def start(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A process that ends with this one. Its log goes where ours goes."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **_request(), **(environment or {}), PARENT_PID: str(os.getpid())},
        # Ctrl-C in a terminal is for the worker, which ends its children in order.
        start_new_session=True,
    )


def _request() -> dict[str, str]:
    request = current_request_id()
    return {} if request is None else {VARIABLE: request}


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def memory_kills(sources: Sequence[Path] = MEMORY_EVENTS) -> int:
    """How often the kernel ended a process of this control group, or else of this machine, for
    want of memory."""
    for path in sources:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
