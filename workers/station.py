"""What one Celery worker process holds: its data, its row, its children; and who ends it.

All tasks of a process run in its threads (`-P threads`), so a stop reaches whatever they wait for.
"""

import logging
import os
import subprocess
import threading
import time
from datetime import UTC, datetime
from typing import Any

from celery import Celery, signals
from celery.signals import celeryd_after_setup
from sqlalchemy.exc import SQLAlchemyError

from app import bell
from app.config import Settings
from app.erasure.worker_tables import WorkerRole
from app.observability import fields
from app.restore.watch import Lookout
from app.runtime import Runtime
from workers import devices, roster
from workers.celery_app import app
from workers.courier import Courier
from workers.parent import end_with_parent
from workers.pulse import EXIT_STALLED, Pulse
from workers.sealing import Sealer
from workers.supervisor import Supervisor, end, start

log = logging.getLogger("lotus.worker")

# What reads files that strangers wrote, or rewrites ours, does it in a process of its own.
REGISTRATION, CLOSING = "workers.registration", "workers.closing"
HEARTBEAT_SECONDS = 15.0
LOOK_SECONDS = 0.25
# Ticks come every second.
SILENCE_SECONDS = 60.0
EXIT_NOT_STARTED = 1


class Station:
    """One worker of a fleet. Closes in order: children end, their runs wait, no attempt is lost."""

    def __init__(self, settings: Settings, role: WorkerRole, celery: Celery) -> None:
        self.runtime = Runtime.open(settings)
        # A database that came out of a backup begins nothing by itself.
        self.lookout = Lookout(self.runtime)
        self.lookout.look(datetime.now(UTC))
        self.stopping = threading.Event()
        # Held as long as the process lives: its lock is what keeps other workers off the device.
        self.device = devices.NONE
        if role is WorkerRole.GPU:
            self.device = devices.take(settings.device, settings.device_dir)
        self.id = roster.register(self.runtime, role, self.device.name)
        self.supervisor = Supervisor(self.runtime, self.id, self.device.environment)
        self.sealer = Sealer(self.runtime)
        self.courier = Courier(self.runtime)
        self.pulse = Pulse(celery, f"pulse.{self.id.hex}")
        self._role, self._ticked_at = role, time.monotonic()
        self._work = threading.Lock()
        self._alone = {module: threading.Lock() for module in (REGISTRATION, CLOSING)}
        threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()
        log.info("worker started", extra=fields(worker=self.id, role=role))

    def work(self) -> None:
        """Sees runs and re-checks through, one after the other, until nothing is ready."""
        with self._work, self.pulse.busy():
            while not self.stopping.is_set():
                self.lookout.look(datetime.now(UTC))
                held = self.supervisor.next_work(datetime.now(UTC))
                if held is None:
                    return
                self._see_through(held)
                self.supervisor.let_go()

    def ticked(self) -> None:
        """A message of the timetable came."""
        self._ticked_at = time.monotonic()

    def have_done(self, module: str) -> None:
        """Sees a process of this module through, unless one of this worker's is at it already."""
        alone = self._alone[module]
        if not alone.acquire(blocking=False):
            return
        try:
            self._follow(start(module))
        finally:
            alone.release()

    def _see_through(self, held: Any) -> None:
        while True:
            if self.stopping.wait(LOOK_SECONDS):
                held.put_down(datetime.now(UTC))
                return
            try:
                if held.ended(datetime.now(UTC)):
                    return
            except SQLAlchemyError:
                # The work goes on: its own heartbeat decides whether it may.
                log.warning("work not looked at", exc_info=True)
                if held.process.poll() is not None:
                    return

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            if self.stopping.wait(LOOK_SECONDS):
                end(process)

    def _timetable_is_dead(self) -> bool:
        """Its process is this worker's child, and nobody else would notice that it ended. While the
        broker is away, or all threads are busy, pulses stay out too, and that is not its fault: its
        silence counts from when they came back."""
        if not self.pulse.is_answered():
            self._ticked_at = time.monotonic()
        silent = time.monotonic() - self._ticked_at
        return self._role is WorkerRole.OPS and silent > SILENCE_SECONDS

    def _beat(self) -> None:
        """A process that no longer consumes falls silent and ends, so that another can start."""
        while not self.stopping.wait(HEARTBEAT_SECONDS):
            if self.pulse.stalled():
                log.error("messages are no longer taken", extra=fields(worker=self.id))
                os._exit(EXIT_STALLED)
            if self._timetable_is_dead():
                log.error("the timetable is silent", extra=fields(worker=self.id))
                os._exit(EXIT_STALLED)
            self.pulse.send()
            self.lookout.look(datetime.now(UTC))
            try:
                with self.runtime.database.write() as session:
                    roster.beat(session, self.id, datetime.now(UTC))
            except SQLAlchemyError:
                log.warning("heartbeat not written", exc_info=True)


_station: Station | None = None


def current() -> Station:
    assert _station is not None, "tasks run in a worker, which has a station"
    return _station


@celeryd_after_setup.connect
def _open(instance: Any, **_: Any) -> None:
    """Before the first message: the worker's own queue of pulses must be among those it takes."""
    global _station  # noqa: PLW0603  (one process, one station)
    queues = instance.app.amqp.queues
    role = WorkerRole.GPU if bell.GPU_QUEUE in queues.consume_from else WorkerRole.OPS
    try:
        _station = Station(Settings(), role, app)
    except Exception as error:
        # Celery would log what a signal's handler raises, and go on to take messages.
        log.error("the worker cannot start", exc_info=error, extra=fields(reason=_shown(error)))
        raise SystemExit(EXIT_NOT_STARTED) from None
    queues.select_add(_station.pulse.queue)


def _shown(error: Exception) -> str:
    """Our own words; of anybody else's error only the kind."""
    return str(error) if isinstance(error, devices.NoDevice) else type(error).__name__


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    if _station is not None:
        _station.stopping.set()


@signals.beat_embedded_init.connect
def _end_beat_with_worker(**_: Any) -> None:
    """The timetable is a process of its own; a worker that is killed must not leave it behind."""
    os.environ.pop("LOTUS_PARENT_PID", None)
    end_with_parent()
