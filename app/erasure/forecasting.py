"""When a request will probably have been carried out, from the queue as it is."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Pool, func, select
from sqlalchemy.orm import Session

from app.erasure import batching, queue
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

_looking = threading.Lock()
_looks: WeakKeyDictionary[Pool, tuple[float, Forecast]] = WeakKeyDictionary()


def expected_at(
    session: Session, request: ErasureRequest, items: Sequence[ErasureItem], *, now: datetime
) -> datetime | None:
    """The end of the last run that the request waits for. None if it waits for a person, if no
    worker is there, or if a model has not been measured yet."""
    left = [item for item in items if item.state not in _DONE]
    if request.state not in _AWAITED or not left:
        return None
    seen = present(session, now)
    ends = [_end_of(session, seen, item) for item in left]
    known = [end for end in ends if end is not None]
    return max(now, *known) if len(known) == len(ends) else None


def _end_of(session: Session, seen: Forecast, item: ErasureItem) -> datetime | None:
    if item.state not in (ItemState.SCHEDULED, ItemState.RUNNING):
        return None
    for name in (item.run_id, item.model_id):
        if name in seen.ends:
            return seen.ends[name]
    return end_of_next(session, seen, item.model_id)


def end_of_next(session: Session, seen: Forecast, model: UUID) -> datetime | None:
    """Of a run of the model that nobody has formed yet, behind everything that was `seen`."""
    if model not in seen.lengths:
        seen.lengths[model] = queue.measured_run_time(session, model)
    return seen.end_of_next(model, seen.lengths[model])


def present(session: Session, now: datetime) -> Forecast:
    """The queue as it is, or was a moment ago. Runs are named by their id, and the batch that waits
    for a model without a run by the model's."""
    pool = session.connection().engine.pool
    with _looking:
        at, seen = _looks.get(pool, (0.0, NOTHING))
        if not at or time.monotonic() - at > FRESH_SECONDS:
            seen = replace(_look(session, now), lengths={})
            _looks[pool] = (time.monotonic(), seen)
    return seen


def _look(session: Session, now: datetime) -> Forecast:
    if restore.is_paused(session):
        return NOTHING
    return forecast([*_runs(session), *_batches(session, now)], _workers(session, now), now)


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


def _batches(session: Session, now: datetime) -> list[Work]:
    """Of models without a live run. The window is the model's own; without one, none."""
    works: list[tuple[datetime, Work]] = []
    for model, policy, waiting in queue.waiting_by_model(session, now):
        length = queue.measured_run_time(session, model)
        window = queue.own_window(policy) or timedelta()
        ready = batching.ready_at([waiting], window=window, run_time=length or timedelta())
        works.append((waiting.due_at, Work(model, model, length, ready_at=max(ready, now))))
    return [work for _, work in sorted(works, key=lambda one: (one[0], one[1].model))]
