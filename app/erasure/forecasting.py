"""When a request will probably have been carried out, from the queue as it is."""

import threading
import time
from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Pool, func, select
from sqlalchemy.orm import Session

from app.erasure import batching, due_dates, queue
from app.erasure.batching import Waiting
from app.erasure.expecting import NOTHING, Forecast, Work, forecast
from app.erasure.states import LEASED_RUN, LIVE_RUN, ItemState, RequestState
from app.erasure.tables import ErasureItem, ErasureRequest, Run
from app.erasure.worker_tables import SILENCE, Worker, WorkerRole
from app.registry.tables import Model
from app.restore import service as restore

# How old a look at the queue may be: whoever polls many requests does not make it anew for each.
FRESH_SECONDS = 5.0

_AWAITED = (RequestState.RECEIVED, RequestState.SCHEDULED, RequestState.RUNNING)
_DONE = (ItemState.PUBLISHED, ItemState.CANCELLED, ItemState.REFUSED)


class Pace(NamedTuple):
    """Of a model: how long its runs take, how long requests wait for company, if its policy says
    so, and until when no run begins."""

    length: timedelta | None
    window: timedelta | None
    paused_until: datetime | None

    def ready_at(self, waiting: Waiting, coalesce: timedelta) -> datetime:
        ready = batching.ready_at(
            [waiting],
            window=coalesce if self.window is None else self.window,
            run_time=self.length or batching.FIRST_ESTIMATE,
        )
        return max(ready, self.paused_until or ready)


class Look(NamedTuple):
    """The queue as it was, and the models that somebody has asked about since. Runs are named by
    their id, and the batch that waits for a model without a run by the model's."""

    forecast: Forecast
    paces: dict[UUID, Pace]

    @property
    def ends(self) -> dict[Hashable, datetime | None]:
        return self.forecast.ends

    def end_of_next(self, session: Session, model: UUID, ready_at: datetime) -> datetime | None:
        """Of a run that nobody has formed yet, behind everything that was seen."""
        return self.forecast.end_of_next(model, self.pace(session, model).length, ready_at)

    def pace(self, session: Session, model: UUID) -> Pace:
        if model not in self.paces:
            row = session.execute(
                select(Model.policy, Model.paused_until).where(Model.id == model)
            ).one()
            length = queue.measured_run_time(session, model)
            self.paces[model] = Pace(length, queue.own_window(row.policy), row.paused_until)
        return self.paces[model]


_looking = threading.Lock()
_looks: WeakKeyDictionary[Pool, tuple[float, Look]] = WeakKeyDictionary()


def expected_at(
    session: Session,
    request: ErasureRequest,
    items: Sequence[ErasureItem],
    *,
    coalesce: timedelta,
    now: datetime,
) -> datetime | None:
    """The end of the last run that the request waits for. None if it waits for a person, if no
    worker is there, or if a model has not been measured yet.

    `coalesce` is the window of models whose policy names none.
    """
    left = [item for item in items if item.state not in _DONE]
    if request.state not in _AWAITED or not left:
        return None
    seen = present(session, coalesce=coalesce, now=now)
    ends = [_end_of(session, seen, request, item, coalesce) for item in left]
    known = [end for end in ends if end is not None]
    return max(now, *known) if len(known) == len(ends) else None


def _end_of(
    session: Session,
    seen: Look,
    request: ErasureRequest,
    item: ErasureItem,
    coalesce: timedelta,
) -> datetime | None:
    if item.state not in (ItemState.SCHEDULED, ItemState.RUNNING):
        return None
    for name in (item.run_id, item.model_id):
        if name in seen.ends:
            return seen.ends[name]
    waiting = Waiting(item.accepted_at, request.wanted_by or due_dates.effective(request))
    ready = seen.pace(session, item.model_id).ready_at(waiting, coalesce)
    return seen.end_of_next(session, item.model_id, ready)


def present(session: Session, *, coalesce: timedelta, now: datetime) -> Look:
    """The queue as it is, or was a moment ago."""
    pool = session.connection().engine.pool
    with _looking:
        at, seen = _looks.get(pool, (0.0, Look(NOTHING, {})))
        if not at or time.monotonic() - at > FRESH_SECONDS:
            seen = Look(_look(session, coalesce, now), {})
            _looks[pool] = (time.monotonic(), seen)
    return seen


def _look(session: Session, coalesce: timedelta, now: datetime) -> Forecast:
    if restore.is_paused(session):
        return NOTHING
    works = [*_runs(session), *_batches(session, coalesce, now)]
    return forecast(works, _workers(session, now), now)


def _workers(session: Session, now: datetime) -> int:
    there = select(func.count()).where(
        Worker.heartbeat_at > now - SILENCE,
        Worker.role.in_([WorkerRole.LOCAL, WorkerRole.GPU]),
    )
    return session.scalars(there).one()


def _runs(session: Session) -> list[Work]:
    runs = session.execute(
        select(Run.id, Run.model_id, Run.state, Run.started_at, Run.not_before, Model.paused_until)
        .join(Model, Model.id == Run.model_id)
        .where(Run.state.in_(LIVE_RUN))
        .order_by(Run.due_at, Run.id)
    )
    return [
        Work(
            run,
            model,
            queue.measured_run_time(session, model),
            started_at if state in LEASED_RUN else None,
            max((time for time in (not_before, paused_until) if time), default=None),
        )
        for run, model, state, started_at, not_before, paused_until in runs
    ]


def _batches(session: Session, coalesce: timedelta, now: datetime) -> list[Work]:
    """Of models without a live run; none is paused."""
    works: list[tuple[datetime, Work]] = []
    for model, policy, waiting in queue.waiting_by_model(session, now):
        pace = Pace(queue.measured_run_time(session, model), queue.own_window(policy), None)
        ready = max(pace.ready_at(waiting, coalesce), now)
        works.append((waiting.due_at, Work(model, model, pace.length, ready_at=ready)))
    return [work for _, work in sorted(works, key=lambda one: (one[0], one[1].model))]
