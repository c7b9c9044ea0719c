"""When the runs that go on and wait will probably have ended. Pure.

Workers take what is due first as they become free, and a model has one run at a time. Lengths are
those that were measured; where there is none yet nothing is said, and others are told as if it were
the first estimate.
"""

import heapq
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from app.erasure.batching import FIRST_ESTIMATE


class Work(NamedTuple):
    """A run, or the batch that will become the model's next one."""

    name: Hashable
    model: UUID
    length: timedelta | None
    # Of a run that goes on.
    started_at: datetime | None = None
    # Of one that waits: nobody takes it before.
    ready_at: datetime | None = None


@dataclass(frozen=True)
class Forecast:
    """`ends` by the name of the work; `free_at` is when a worker has nothing more to do."""

    ends: dict[Hashable, datetime | None]
    free_at: datetime | None
    models_free_at: dict[UUID, datetime]

    def end_of_next(
        self, model: UUID, length: timedelta | None, ready_at: datetime
    ) -> datetime | None:
        """Of a batch behind everything else, which nobody takes before `ready_at`."""
        if length is None or self.free_at is None:
            return None
        return max(self.free_at, self.models_free_at.get(model, ready_at), ready_at) + length


NOTHING = Forecast({}, None, {})


def forecast(works: Sequence[Work], workers: int, now: datetime) -> Forecast:
    """`works` in the order in which they are taken; `workers` is how many there are, busy ones
    included. Nothing can be said without any."""
    going_on = [work for work in works if work.started_at is not None]
    if not workers and not going_on:
        return NOTHING
    ends: dict[Hashable, datetime | None] = {}
    models: dict[UUID, datetime] = {}
    free = [now] * max(workers - len(going_on), 0)
    for work in going_on:
        assert work.started_at is not None
        end = max(work.started_at + (work.length or FIRST_ESTIMATE), now)
        models[work.model] = end
        ends[work.name] = end if work.length else None
        free.append(end)
    heapq.heapify(free)
    for work in works:
        if work.started_at is not None:
            continue
        ready = work.ready_at or now
        begin = max(heapq.heappop(free), ready, models.get(work.model, now))
        end = begin + (work.length or FIRST_ESTIMATE)
        heapq.heappush(free, end)
        models[work.model] = end
        ends[work.name] = end if work.length else None
    return Forecast(ends, free[0], models)
