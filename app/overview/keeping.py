"""What a process keeps of overviews, so that many who poll cost as much as one."""

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from app.overview import reading
from app.runtime import Runtime

# An overview is at most so old, or so many times what it took to read it, so that a large database
# is not read all the time; while it is being read others see the one before.
FRESH_SECONDS = 1.0
FRESH_TIMES = 20.0
# The same for the count of what has ended, which reads more and is in no hurry.
ENDED_TIMES = 100.0
# Nobody is shown an older one, even if he has to wait.
OLDEST_SECONDS = 15.0


@dataclass(frozen=True)
class Kept:
    body: bytes
    etag: str
    read_at: float  # of the monotonic clock
    fresh_until: float


@dataclass
class _Place:
    """Of one controller; whoever reads anew holds the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    kept: Kept | None = None
    ended: reading.Counts = field(default_factory=dict)
    ended_until: float = 0.0


class Overviews:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._places: dict[UUID, _Place] = {}

    def fresh(self, controller: UUID) -> Kept | None:
        """Asks nobody, and waits for nobody. None if it has to be read; while somebody else does
        so, the one before."""
        place = self._places.get(controller)
        if place is None or (kept := place.kept) is None:
            return None
        until = kept.read_at + OLDEST_SECONDS if place.lock.locked() else kept.fresh_until
        return kept if time.monotonic() < until else None

    def of(self, controller: UUID, *, now: datetime) -> Kept:
        if (fresh := self.fresh(controller)) is not None:
            return fresh
        place = self._places.setdefault(controller, _Place())
        kept = place.kept
        old = kept is None or time.monotonic() > kept.read_at + OLDEST_SECONDS
        if not place.lock.acquire(blocking=old):
            assert kept is not None
            return kept
        try:
            # Somebody else may have read it while this one waited.
            if place.kept is None or time.monotonic() >= place.kept.fresh_until:
                place.kept = self._read(place, controller, now)
            return place.kept
        finally:
            place.lock.release()

    def _read(self, place: _Place, controller: UUID, now: datetime) -> Kept:
        with self._runtime.database.read() as session:
            began = time.monotonic()
            if began >= place.ended_until:
                place.ended = reading.ended(session, controller)
                took = time.monotonic() - began
                place.ended_until = began + max(FRESH_SECONDS, ENDED_TIMES * took)
            began_rest = time.monotonic()
            document = reading.overview(
                session,
                controller,
                place.ended,
                coalesce=self._runtime.settings.coalesce,
                now=now,
            )
        body = document.model_dump_json().encode()
        ended = time.monotonic()
        return Kept(
            body=body,
            etag=f'W/"{sha256(body).hexdigest()[:32]}"',
            read_at=ended,
            fresh_until=ended
            + min(OLDEST_SECONDS, max(FRESH_SECONDS, FRESH_TIMES * (ended - began_rest))),
        )
