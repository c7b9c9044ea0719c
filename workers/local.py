"""The worker loop of a single machine: `python -m workers.local`, a child of `lotus serve`.

It is woken by a byte in a FIFO, claims runs and starts each in a process of its own, has uploads
checked, gives audit entries their place in the tree, and sweeps. It never imports torch.
"""

import logging
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from app import observability
from app.audit import sequencer
from app.audit.kinds import worker_actor
from app.config import Settings
from app.erasure import leases
from app.erasure.leases import Claim
from app.erasure.tables import ErrorClass, Worker
from app.erasure.transitions import Event, LeaseLost
from app.observability import fields
from app.registry import checks
from app.runtime import Runtime
from workers.leftovers import clear_leftovers
from workers.parent import end_with_parent

log = logging.getLogger("lotus.worker")

# The audit log promises that a committed entry has its index within about a second.
TICK_SECONDS = 1.0
HEARTBEAT_EVERY = timedelta(seconds=15)
CLEAR_EVERY = timedelta(hours=1)


class LocalWorker:
    """One run and one registration at a time, each in its own process."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.id = _register(runtime)
        self.run: tuple[subprocess.Popen[bytes], Claim] | None = None
        self.registration: subprocess.Popen[bytes] | None = None
        self.next_sweep = self.next_heartbeat = self.next_clearing = datetime.min.replace(
            tzinfo=UTC
        )

    def tick(self, now: datetime) -> None:
        """Everything that may be due now; cheap if nothing is."""
        self._beat(now)
        self._sequence(now)
        self._sweep(now)
        self._clear(now)
        self._registrations(now)
        self._reap(now)
        if self.run is None:
            self._claim(now)

    def _claim(self, now: datetime) -> None:
        settings = self.runtime.settings
        with self.runtime.database.read() as session:
            if not leases.anything_waits(session):
                return
        with self.runtime.database.write() as session:
            claim = leases.claim(
                session,
                self.runtime.keyring,
                self.id,
                lease=timedelta(seconds=settings.lease_seconds),
                coalesce=timedelta(seconds=settings.coalesce_seconds),
                now=now,
            )
        if claim is None:
            return
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
        if code == 0:
            return
        log.warning("runner ended", extra=fields(run=claim.fence.run_id, code=code))
        try:
            with self.runtime.database.write() as session:
                leases.give_back(
                    session,
                    self.runtime.keyring,
                    claim.fence,
                    event=Event.CRASHED,
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

    def _note_run(self, run: UUID | None) -> None:
        with self.runtime.database.write() as session:
            session.execute(update(Worker).where(Worker.id == self.id).values(current_run_id=run))


def main() -> None:
    end_with_parent()
    settings = Settings()
    observability.configure(settings.log_level)
    runtime = Runtime.open(settings)
    with _bell(settings.bell_path) as bell:
        worker = LocalWorker(runtime)
        log.info("worker loop started", extra=fields(worker=worker.id))
        while True:
            try:
                worker.tick(datetime.now(UTC))
            except SQLAlchemyError:
                # A database that is away comes back; the loop must be there when it does.
                log.exception("worker loop could not reach the database")
                time.sleep(TICK_SECONDS)
            _wait(bell)


def _wait(bell: int) -> None:
    """Until the bell rings, or for one tick. Takes all rings at once: one look answers them all."""
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
    return subprocess.Popen([sys.executable, "-m", module, *arguments], stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
