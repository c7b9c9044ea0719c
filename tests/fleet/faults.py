"""What strikes a fleet, one fault at a time, and how long it took until work went on."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tests.end_to_end.service import children
from tests.fleet.stack import Fleet, Program

RECOVERY_SECONDS = 60.0
FULL_SECONDS = 4.0


# By run: its attempt, and how far that has come.
Progress = dict[str, tuple[int, int]]
# What is in none of these has ended.
FORWARD = {"queued": 0, "running": 1, "verifying": 2, "publishing": 3}


@dataclass(frozen=True)
class Struck:
    """`recovered`: seconds from the end of the fault until some run was claimed or came closer to
    its end, not always the one that was hit. None if nothing waited."""

    name: str
    recovered: float | None

    def __str__(self) -> str:
        went_on = "" if self.recovered is None else f", work went on after {self.recovered:.1f} s"
        return f"{self.name}{went_on}"


class Faults:
    def __init__(self, fleet: Fleet, rng: random.Random) -> None:
        self.fleet, self._rng = fleet, rng
        self._kinds: list[tuple[str, Callable[[], bool | None]]] = [
            ("kill runner", self._kill_runner),
            ("kill GPU worker", self._kill_gpu_worker),
            ("kill ops worker", lambda: self._kill(fleet.ops)),
            ("kill API", self._kill_api),
            ("empty Redis", self._flush),
            ("restart Redis", fleet.redis.restart),
            ("restart PostgreSQL", fleet.postgresql.restart),
            ("stale worker wakes", self._sleep_past_lease),
        ]
        if fleet.disk.is_small:
            self._kinds.append(("full disk for 4 s", self._fill))

    def strike(self) -> Struck | None:
        """None if it hit nothing, such as a runner where none ran."""
        name, act = self._rng.choice(self._kinds)
        if act() is False:
            return None
        ended = time.monotonic()
        before = self._progress()
        while time.monotonic() - ended < RECOVERY_SECONDS:
            now = self._progress()
            if now is not None and not self._anything_waits():
                return Struck(name, None)
            if before is not None and now is not None and _moved_on(before, now):
                return Struck(name, time.monotonic() - ended)
            before = before or now
            time.sleep(0.1)
        raise AssertionError(f"nothing moved for {RECOVERY_SECONDS:.0f} s after: {name}")

    def heal(self) -> None:
        """Whatever lies is started again, as a supervisor of processes would."""
        for program in self.fleet.programs.values():
            if not program.runs:
                program.start()
        self.fleet.disk.free()
        self.fleet.wait_until_ready()

    def _kill_runner(self) -> bool:
        runners = [runner for gpu in self.fleet.gpus if (runner := gpu.runner())]
        if not runners:
            return False
        try:
            os.kill(self._rng.choice(runners), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _kill_gpu_worker(self) -> None:
        self._kill(self._rng.choice(self.fleet.gpus))

    def _kill_api(self) -> None:
        self._kill(self.fleet.api)
        self.fleet.wait_until_ready()

    def _kill(self, program: Program) -> None:
        program.kill()
        time.sleep(self._rng.uniform(0, 1))
        program.start()

    def _flush(self) -> None:
        with suppress(RedisError), Redis.from_url(self.fleet.redis.url) as redis:
            redis.flushall()

    def _sleep_past_lease(self) -> bool:
        """A whole worker stands still, runner and all, for longer than its lease; then it wakes and
        believes that the run is still its own."""
        busy = [gpu for gpu in self.fleet.gpus if gpu.runner()]
        if not busy:
            return False
        gpu = self._rng.choice(busy)
        pids = [gpu.pid, *children(gpu.pid, "workers.runner")]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(9)  # a lease of 6 s and a sweep
        for pid in reversed(pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return len(pids) > 1

    def _fill(self) -> None:
        self.fleet.disk.fill()
        time.sleep(FULL_SECONDS)
        self.fleet.disk.free()

    def _progress(self) -> Progress | None:
        """How far each run has come; None while the database is away."""
        try:
            with self.fleet.engine.connect() as connection:
                rows = connection.execute(text("SELECT CAST(id AS text), state, attempt FROM runs"))
                return {row[0]: (row[2], FORWARD.get(row[1], len(FORWARD))) for row in rows}
        except SQLAlchemyError:
            return None

    def _anything_waits(self) -> bool:
        try:
            with self.fleet.engine.connect() as connection:
                waiting = connection.scalar(
                    text(
                        "SELECT count(*) FROM erasure_items WHERE state IN ('scheduled', 'running')"
                    )
                )
                return bool(waiting)
        except SQLAlchemyError:
            return True


def _moved_on(before: Progress, now: Progress) -> bool:
    """A run was claimed, or is further than it was; going back, or being queued, is no progress."""
    return any(place > before.get(run, (0, 0)) for run, place in now.items())
