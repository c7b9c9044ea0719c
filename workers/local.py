"""The worker loop of a single machine: `python -m workers.local`, a child of `lotus serve`.

It is woken by a byte in a FIFO, claims runs and re-checks and starts each in a process of its own,
has uploads checked, gives audit entries their place in the tree, seals it, sends callbacks, and
sweeps. It never imports torch.
"""

import logging
import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app import observability
from app.config import Settings
from app.erasure.worker_tables import WorkerRole
from app.observability import fields
from app.restore.watch import Lookout
from app.runtime import Runtime
from workers import duties, roster
from workers.courier import Courier
from workers.parent import end_with_parent
from workers.sealing import Sealer
from workers.supervisor import Held, Supervisor, end, start

log = logging.getLogger("lotus.worker")

# The audit log promises that a committed entry has its index within about a second.
TICK_SECONDS = 1.0
LONG_AGO = datetime.min.replace(tzinfo=UTC)
HEARTBEAT_EVERY = timedelta(seconds=15)
REMIND_EVERY = timedelta(minutes=1)
CLEAR_EVERY = FORGET_EVERY = timedelta(hours=1)


class LocalWorker:
    """One run or re-check and one registration at a time, each in its own process."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.id = roster.register(runtime, WorkerRole.LOCAL, runtime.settings.device)
        self.supervisor = Supervisor(runtime, self.id)
        self.lookout = Lookout(runtime)
        self.sealer = Sealer(runtime)
        self.courier = Courier(runtime)
        self.held: Held | None = None
        self.registration: subprocess.Popen[bytes] | None = None
        self.closing: subprocess.Popen[bytes] | None = None
        self.next_sweep = self.next_heartbeat = LONG_AGO
        self.next_reminder = self.next_clearing = self.next_forgetting = LONG_AGO

    def tick(self, now: datetime) -> None:
        """Everything that may be due now; cheap if nothing is.

        Each step stands alone: a fault in one (a database that is away, rows that newer code wrote)
        is logged, and must not keep the others from their work.
        """
        for step in (
            self.lookout.look,  # first: a database out of a backup begins nothing by itself
            self._beat,
            self._sequence,
            self._seal,
            self._sweep,
            self._remind,
            self._clear,
            self._forget,
            self._registrations,
            self._closings,
            self._deliver,
            self._reap,
            self._claim,
        ):
            try:
                step(now)
            except Exception:
                log.exception("a step of the worker loop failed", extra=fields(step=step.__name__))

    def stop(self, now: datetime) -> None:
        """Ends the children in order; the work waits for the next start and loses no attempt."""
        for process in (self.registration, self.closing):
            if process is not None:
                end(process)
        if self.held is not None:
            self.held.put_down(now)
        self.courier.stop()

    def _claim(self, now: datetime) -> None:
        if self.held is None:
            self.held = self.supervisor.next_work(now)

    def _reap(self, now: datetime) -> None:
        if self.held is not None and self.held.ended(now):
            self.held = None
            self.supervisor.let_go()

    def _registrations(self, now: datetime) -> None:
        if self.registration is not None and self.registration.poll() is not None:
            self.registration = None
        if self.registration is None and duties.uploads_wait(self.runtime, now):
            self.registration = start("workers.registration")

    def _closings(self, now: datetime) -> None:
        if self.closing is not None and self.closing.poll() is not None:
            self.closing = None
        if self.closing is None and duties.cases_close(self.runtime, now):
            self.closing = start("workers.closing")

    def _deliver(self, now: datetime) -> None:
        self.courier.poke()

    def _sequence(self, now: datetime) -> None:
        duties.sequence(self.runtime, now)

    def _seal(self, now: datetime) -> None:
        self.sealer.seal(now)

    def _sweep(self, now: datetime) -> None:
        if now < self.next_sweep:
            return
        self.next_sweep = now + timedelta(seconds=self.runtime.settings.sweep_seconds)
        duties.sweep(self.runtime, now)

    def _remind(self, now: datetime) -> None:
        if now < self.next_reminder:
            return
        self.next_reminder = now + REMIND_EVERY
        duties.remind(self.runtime, now)

    def _clear(self, now: datetime) -> None:
        if now < self.next_clearing:
            return
        self.next_clearing = now + CLEAR_EVERY
        duties.clear(self.runtime, now)

    def _forget(self, now: datetime) -> None:
        if now < self.next_forgetting:
            return
        self.next_forgetting = now + FORGET_EVERY
        duties.forget(self.runtime, now)

    def _beat(self, now: datetime) -> None:
        if now < self.next_heartbeat:
            return
        self.next_heartbeat = now + HEARTBEAT_EVERY
        with self.runtime.database.write() as session:
            roster.beat(session, self.id, now)


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


if __name__ == "__main__":
    main()
