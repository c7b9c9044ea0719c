"""The worker loop of a single machine: `python -m workers.local`, a child of `lotus serve`.

It is woken by a byte in a FIFO, claims runs and starts each in a process of its own, has uploads
checked, gives audit entries their place in the tree, and sweeps. It never imports torch.
"""

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import update

from app import observability
from app.audit import sequencer
from app.audit.kinds import worker_actor
from app.config import Settings
from app.erasure import closing, leases, queue
from app.erasure.leases import Claim
from app.erasure.locks import LeaseLost
from app.erasure.tables import ErrorClass, Run, Worker
from app.observability import fields
from app.registry import checks
from app.runtime import Runtime
from workers.heartbeat import EXIT_LEASE_LOST
from workers.leftovers import clear_leftovers
from workers.parent import PARENT_PID, end_with_parent

log = logging.getLogger("lotus.worker")

# The audit log promises that a committed entry has its index within about a second.
TICK_SECONDS = 1.0
LONG_AGO = datetime.min.replace(tzinfo=UTC)
HEARTBEAT_EVERY = timedelta(seconds=15)
CLEAR_EVERY = timedelta(hours=1)
# How long a model whose rows cannot be worked with is left alone.
SET_ASIDE = timedelta(minutes=5)
STOP_SECONDS = 10.0


class LocalWorker:
    """One run and one registration at a time, each in its own process."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.id = _register(runtime)
        self.run: tuple[subprocess.Popen[bytes], Claim] | None = None
        self.registration: subprocess.Popen[bytes] | None = None
        self.closing: subprocess.Popen[bytes] | None = None
        self.set_aside: dict[UUID, datetime] = {}
        self.next_sweep = self.next_heartbeat = self.next_clearing = LONG_AGO

    def tick(self, now: datetime) -> None:
        """Everything that may be due now; cheap if nothing is.

        Each step stands alone: a fault in one (a database that is away, rows that newer code wrote)
        is logged, and must not keep the others from their work.
        """
        for step in (
            self._beat,
            self._sequence,
            self._sweep,
            self._clear,
            self._registrations,
            self._closings,
            self._reap,
            self._keep_starting_run,
            self._claim,
        ):
            try:
                step(now)
            except Exception:
                log.exception("a step of the worker loop failed", extra=fields(step=step.__name__))

    def stop(self, now: datetime) -> None:
        """Ends the children in order; the run waits for the next start and loses no attempt."""
        for process in (self.registration, self.closing):
            if process is not None:
                _end(process)
        if self.run is None:
            return
        process, claim = self.run
        _end(process)
        try:
            with self.runtime.database.write() as session:
                leases.put_down(session, claim.fence, actor=worker_actor(self.id), now=now)
            log.info("run put down", extra=fields(run=claim.fence.run_id))
        except LeaseLost:
            pass  # it had just ended, one way or the other

    def _claim(self, now: datetime) -> None:
        if self.run is not None:
            return
        coalesce = timedelta(seconds=self.runtime.settings.coalesce_seconds)
        with self.runtime.database.read() as session:
            candidates = queue.candidates(session, coalesce=coalesce, now=now)
        for candidate in candidates:
            if self.set_aside.get(candidate.model_id, now) > now:
                continue
            try:
                claim = self._claim_model(candidate.model_id, now)
            except Exception:
                # Whatever is wrong with this model must not stop the others.
                log.exception("model set aside", extra=fields(model=candidate.model_id))
                self.set_aside[candidate.model_id] = now + SET_ASIDE
                continue
            if claim is not None:
                self._start_run(claim)
                return

    def _claim_model(self, model: UUID, now: datetime) -> Claim | None:
        lease = timedelta(seconds=self.runtime.settings.lease_seconds)
        with self.runtime.database.write() as session:
            return leases.claim(session, self.runtime.keyring, self.id, model, lease=lease, now=now)

    def _start_run(self, claim: Claim) -> None:
        run = claim.fence.run_id
        log.info("run claimed", extra=fields(run=run, attempt=claim.fence.attempt))
        self.run = (_start("workers.runner", run.hex, str(claim.fence.attempt)), claim)
        self._note_run(run)

    def _reap(self, now: datetime) -> None:
        """A runner that ended without a result gives its run back at once, not after the lease."""
        if self.run is None:
            return
        process, claim = self.run
        code = process.poll()
        if code is None:
            return
        self.run = None
        self._note_run(None)
        if code in (0, EXIT_LEASE_LOST):
            return
        log.warning("runner ended", extra=fields(run=claim.fence.run_id, code=code))
        try:
            with self.runtime.database.write() as session:
                leases.give_back(
                    session,
                    self.runtime.keyring,
                    claim.fence,
                    error_class=ErrorClass.CRASHED,
                    detail=f"The run's process ended with code {code}.",
                    actor=worker_actor(self.id),
                    now=now,
                )
        except LeaseLost:
            return  # it ended because the run was no longer its own

    def _registrations(self, now: datetime) -> None:
        if self.registration is not None and self.registration.poll() is not None:
            self.registration = None
        if self.registration is None:
            with self.runtime.database.read() as session:
                waiting = checks.anything_waits(session, now=now)
            if waiting:
                self.registration = _start("workers.registration")

    def _closings(self, now: datetime) -> None:
        if self.closing is not None and self.closing.poll() is not None:
            self.closing = None
        if self.closing is None:
            with self.runtime.database.read() as session:
                due = closing.anything_due(session, now)
            if due:
                self.closing = _start("workers.closing")

    def _sequence(self, now: datetime) -> None:
        with self.runtime.database.read() as session:
            if not sequencer.anything_pending(session):
                return
        with self.runtime.database.write() as session:
            sequencer.sequence(session, now=now)

    def _sweep(self, now: datetime) -> None:
        if now < self.next_sweep:
            return
        self.next_sweep = now + timedelta(seconds=self.runtime.settings.sweep_seconds)
        with self.runtime.database.write() as session:
            taken_back = leases.sweep(session, self.runtime.keyring, now=now)
        if taken_back:
            log.warning("expired leases taken back", extra=fields(runs=taken_back))

    def _clear(self, now: datetime) -> None:
        """Uploads that were never registered hold identities: they must not wait for a next one."""
        if now < self.next_clearing:
            return
        self.next_clearing = now + CLEAR_EVERY
        clear_leftovers(self.runtime, now=now)

    def _beat(self, now: datetime) -> None:
        if now < self.next_heartbeat:
            return
        self.next_heartbeat = now + HEARTBEAT_EVERY
        with self.runtime.database.write() as session:
            session.execute(update(Worker).where(Worker.id == self.id).values(heartbeat_at=now))

    def _keep_starting_run(self, now: datetime) -> None:
        """Renews for a runner that is still loading its libraries, which can take longer than a
        short lease; from its first sign of progress the runner renews for itself."""
        if self.run is None:
            return
        process, claim = self.run
        lease = timedelta(seconds=self.runtime.settings.lease_seconds)
        with self.runtime.database.read() as session:
            run = session.get_one(Run, claim.fence.run_id)
            due = run.lease_until is not None and run.lease_until - now < lease / 2
        if run.progress is not None or not due:
            return
        try:
            with self.runtime.database.write() as session:
                leases.renew(session, claim.fence, lease=lease, now=now)
        except LeaseLost:
            process.terminate()

    def _note_run(self, run: UUID | None) -> None:
        with self.runtime.database.write() as session:
            session.execute(update(Worker).where(Worker.id == self.id).values(current_run_id=run))


def main() -> None:
    end_with_parent()
    settings = Settings()
    observability.configure(settings.log_level)
    runtime = Runtime.open(settings)
    stopping = _notice_stop()
    with _bell(settings.bell_path) as bell:
        worker = LocalWorker(runtime)
        log.info("worker loop started", extra=fields(worker=worker.id))
        while not stopping.is_set():
            worker.tick(datetime.now(UTC))
            _wait(bell, stopping)
        worker.stop(datetime.now(UTC))


def _notice_stop() -> threading.Event:
    """Set by SIGTERM or Ctrl-C: what is in progress is put down in order, not dropped."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _wait(bell: int, stopping: threading.Event) -> None:
    """Until the bell rings, or for one tick. Takes all rings at once: one look answers them all."""
    if stopping.is_set():
        return
    readable, _, _ = select.select([bell], [], [], TICK_SECONDS)
    if readable:
        os.read(bell, 65_536)


@contextmanager
def _bell(path: Path) -> Iterator[int]:
    """The reading end. Opened for writing too, so that it never reports an end of file."""
    if not path.is_fifo():
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
    bell = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield bell
    finally:
        os.close(bell)


def _register(runtime: Runtime) -> UUID:
    now = datetime.now(UTC)
    worker = Worker(
        name=f"{socket.gethostname()}/{os.getpid()}",
        device=runtime.settings.device,
        heartbeat_at=now,
        started_at=now,
    )
    with runtime.database.write() as session:
        session.add(worker)
    return worker.id


def _start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        env={**os.environ, PARENT_PID: str(os.getpid())},
        # Ctrl-C in a terminal is for the loop, which ends its children in order.
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
