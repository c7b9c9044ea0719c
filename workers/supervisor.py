"""Claims runs and sees each through in a process of its own. Never imports torch.

The loop of a single machine and the Celery worker of a fleet share everything here; they differ in
who wakes them. Each may end at any moment, since the database knows what they held.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from app.audit.kinds import worker_actor
from app.erasure import leases, queue
from app.erasure.leases import Claim
from app.erasure.locks import LeaseLost
from app.erasure.tables import ErrorClass, Run
from app.observability import VARIABLE, current_request_id, fields
from app.runtime import Runtime
from workers import roster
from workers.heartbeat import EXIT_LEASE_LOST
from workers.parent import PARENT_PID

log = logging.getLogger("lotus.worker")

# How long a model whose rows cannot be worked with is left alone.
SET_ASIDE = timedelta(minutes=5)
STOP_SECONDS = 10.0
# How long the end of a run is kept trying to be written; then its lease runs out by itself.
REPORT_SECONDS = 30.0


class HeldRun:
    """A claimed run and the process that computes it."""

    def __init__(
        self, runtime: Runtime, worker: UUID, claim: Claim, environment: Mapping[str, str]
    ) -> None:
        self._runtime, self._worker, self.claim = runtime, worker, claim
        self._kills = _memory_kills()
        fence = claim.fence
        self.process = start(
            "workers.runner", fence.run_id.hex, str(fence.attempt), environment=environment
        )
        self._started = False  # the runner renews its lease itself

    def ended(self, now: datetime) -> bool:
        """Looks once. A runner that ended without a result gives its run back at once, not after
        the lease."""
        code = self.process.poll()
        if code is None:
            self._renew_while_starting(now)
            return False
        if code not in (0, EXIT_LEASE_LOST):
            self._give_back(code)
        return True

    def put_down(self, now: datetime) -> None:
        """The worker stops, through no fault of the run: it waits, and loses no attempt."""
        end(self.process)
        try:
            with self._runtime.database.write() as session:
                actor = worker_actor(self._worker)
                leases.put_down(session, self.claim.fence, actor=actor, now=now)
            log.info("run put down", extra=fields(run=self.claim.fence.run_id))
        except LeaseLost:
            pass  # it had just ended, one way or the other

    def _renew_while_starting(self, now: datetime) -> None:
        """Loading libraries can take longer than a short lease; from its first sign of progress
        the runner renews for itself."""
        if self._started:
            return
        lease = timedelta(seconds=self._runtime.settings.lease_seconds)
        with self._runtime.database.read() as session:
            run = session.get_one(Run, self.claim.fence.run_id)
            due = run.lease_until is not None and run.lease_until - now < lease / 2
        self._started = run.progress is not None
        if self._started or not due:
            return
        try:
            with self._runtime.database.write() as session:
                leases.renew(session, self.claim.fence, lease=lease, now=now)
        except LeaseLost:
            self.process.terminate()

    def _give_back(self, code: int) -> None:
        error_class, detail = self._meaning(code)
        run = self.claim.fence.run_id
        log.warning("runner ended", extra=fields(run=run, code=code, error_class=error_class))

        def write() -> None:
            with self._runtime.database.write() as session:
                leases.give_back(
                    session,
                    self._runtime.keyring,
                    self.claim.fence,
                    error_class=error_class,
                    detail=detail,
                    actor=worker_actor(self._worker),
                    now=datetime.now(UTC),
                )

        with suppress(LeaseLost):  # it ended because the run was no longer its own
            persist(write)

    def _meaning(self, code: int) -> tuple[ErrorClass, str]:
        if code >= 0:
            return ErrorClass.CRASHED, f"The run's process ended with code {code}."
        name = signal.Signals(-code).name
        if -code == signal.SIGKILL and _memory_kills() > self._kills:
            return ErrorClass.OUT_OF_MEMORY, "The machine ran out of memory and ended the process."
        return ErrorClass.CRASHED, f"The run's process was ended by {name}."


class Supervisor:
    """One worker's claims. `environment` is what its runners get beside the worker's own."""

    def __init__(
        self, runtime: Runtime, worker: UUID, environment: Mapping[str, str] | None = None
    ) -> None:
        self.runtime, self.worker = runtime, worker
        self.environment = dict(environment or {})
        self.set_aside: dict[UUID, datetime] = {}

    def next_run(self, now: datetime) -> HeldRun | None:
        """Claims what should be next and starts it; None if nothing is ready."""
        coalesce = timedelta(seconds=self.runtime.settings.coalesce_seconds)
        with self.runtime.database.read() as session:
            candidates = queue.candidates(session, coalesce=coalesce, now=now)
        for candidate in candidates:
            if self.set_aside.get(candidate.model_id, now) > now:
                continue
            try:
                claim = self._claim(candidate.model_id, now)
            except OperationalError:
                raise  # the database is away, which is no fault of this model's
            except Exception:
                # Whatever is wrong with this model must not stop the others.
                log.exception("model set aside", extra=fields(model=candidate.model_id))
                self.set_aside[candidate.model_id] = now + SET_ASIDE
                continue
            if claim is not None:
                return self._start(claim)
        return None

    def let_go(self) -> None:
        """The run has ended: the worker is free."""
        self._note_run(None)

    def _claim(self, model: UUID, now: datetime) -> Claim | None:
        lease = timedelta(seconds=self.runtime.settings.lease_seconds)
        with self.runtime.database.write() as session:
            return leases.claim(
                session, self.runtime.keyring, self.worker, model, lease=lease, now=now
            )

    def _start(self, claim: Claim) -> HeldRun:
        run = claim.fence.run_id
        log.info("run claimed", extra=fields(run=run, attempt=claim.fence.attempt))
        held = HeldRun(self.runtime, self.worker, claim, self.environment)
        self._note_run(run)
        return held

    def _note_run(self, run: UUID | None) -> None:
        """For those who look at the workers; nothing depends on it."""
        try:
            with self.runtime.database.write() as session:
                roster.note_run(session, self.worker, run)
        except SQLAlchemyError:
            log.warning("current run not noted", exc_info=True)


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


def persist(write: Callable[[], None]) -> None:
    """Tries again while the database is away, for a while; raises what the last try raised."""
    give_up = time.monotonic() + REPORT_SECONDS
    pause = 0.2
    while True:
        try:
            write()
            return
        except SQLAlchemyError:
            if time.monotonic() + pause > give_up:
                raise
            log.warning("database away; trying again", exc_info=True)
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def _memory_kills() -> int:
    """How often the kernel ended a process of this control group, or else of this machine, for
    want of memory."""
    for path in (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat")):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
