"""When a request will probably have been carried out, from the queue as it is."""

import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Pool, func, select
from sqlalchemy.orm import Session

from app.erasure import batching, due_dates, queue
from app.erasure.batching import Waiting
from app.erasure.expecting import NOTHING, Forecast, Work, forecast
from app.erasure.states import LEASED_RUN, LIVE_RUN, ItemState, RequestState
from app.erasure.tables import ErasureItem, ErasureRequest, Run
from app.erasure.worker_tables import Worker, WorkerRole
from app.registry.tables import Model
from app.restore import service as restore

# How old a look at the queue may be: whoever polls many requests does not make it anew for each.
FRESH_SECONDS = 5.0
WORKER_SILENCE = timedelta(minutes=2)

_AWAITED = (RequestState.RECEIVED, RequestState.SCHEDULED, RequestState.RUNNING)
_DONE = (ItemState.PUBLISHED, ItemState.CANCELLED, ItemState.REFUSED)

_looking = threading.Lock()
_looks: WeakKeyDictionary[Pool, tuple[float, Forecast]] = WeakKeyDictionary()


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
    seen = _present(session, coalesce, now)
    ends = [_end_of(session, seen, request, item, coalesce) for item in left]
    known = [end for end in ends if end is not None]
    return max(now, *known) if len(known) == len(ends) else None


def _end_of(
    session: Session,
    seen: Forecast,
    request: ErasureRequest,
    item: ErasureItem,
    coalesce: timedelta,
) -> datetime | None:
    if item.state not in (ItemState.SCHEDULED, ItemState.RUNNING):
        return None
    for name in (item.run_id, item.model_id):
        if name in seen.ends:
            return seen.ends[name]
    model = session.get_one(Model, item.model_id)
    length = queue.measured_run_time(session, model.id)
    waiting = Waiting(item.accepted_at, request.wanted_by or due_dates.effective(request))
    ready = _ready_at(model.policy, waiting, length, coalesce)
    return seen.end_of_next(model.id, length, max(ready, model.paused_until or ready))


def _ready_at(
    policy: dict[str, Any], waiting: Waiting, length: timedelta | None, coalesce: timedelta
) -> datetime:
    own = queue.own_window(policy)
    window = coalesce if own is None else own
    return batching.ready_at([waiting], window=window, run_time=length or batching.FIRST_ESTIMATE)


def _present(session: Session, coalesce: timedelta, now: datetime) -> Forecast:
    pool = session.connection().engine.pool
    with _looking:
        at, seen = _looks.get(pool, (0.0, NOTHING))
        if not at or time.monotonic() - at > FRESH_SECONDS:
            seen = _look(session, coalesce, now)
            _looks[pool] = (time.monotonic(), seen)
    return seen


def _look(session: Session, coalesce: timedelta, now: datetime) -> Forecast:
    if restore.is_paused(session):
        return NOTHING
    works = [*_runs(session), *_batches(session, coalesce, now)]
    return forecast(works, _workers(session, now), now)


def _workers(session: Session, now: datetime) -> int:
    there = select(func.count()).where(
        Worker.heartbeat_at > now - WORKER_SILENCE,
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
    """Of models without a live run."""
    works: list[tuple[datetime, Work]] = []
    for model, policy, waiting in queue.waiting_by_model(session, now):
        length = queue.measured_run_time(session, model)
        ready = _ready_at(policy, waiting, length, coalesce)
        works.append((waiting.due_at, Work(model, model, length, ready_at=max(ready, now))))
    return [work for _, work in sorted(works, key=lambda one: (one[0], one[1].model))]
