"""The overview of one controller, read from the database.

Each statement reads along an index, or a table that stays small. How many requests have ended is
the exception: counting them reads an index from end to end, so that count may come from before.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.audit import checkpoints, sequencer
from app.audit.service import count_pending
from app.erasure import breaker, forecasting, listing, run_views, views
from app.erasure.filtering import RequestFilter
from app.erasure.forecasting import Look
from app.erasure.queue import DUE_SOON, effective_due, is_overdue, waits_for_a_run
from app.erasure.states import LEASED_RUN, LIVE_RUN, OPEN_REQUEST, RUN, RequestState
from app.erasure.tables import ErasureItem, ErasureRequest, Run
from app.erasure.worker_tables import SILENCE, Worker
from app.overview.schemas import (
    AuditHead,
    Callbacks,
    DueRequest,
    EndedRun,
    LiveRun,
    Overview,
    OverviewWorker,
    PausedModel,
    Queue,
    RequestCounts,
    SignedHead,
)
from app.registry.tables import Model
from app.restore import service as restore
from app.webhooks.tables import OPEN_DELIVERY, DeliveryState, WebhookDelivery

ENDED = tuple(state for state in RequestState if state not in OPEN_REQUEST)
_ENDED_RUN = tuple(state for state, place in RUN.items() if place.ends)
NEXT_DUE = 5
LAST_RUNS = 10
MOST = 200
_FOR_EVER = timedelta(days=36_500)

Counts = Mapping[RequestState, int]


def ended(session: Session, controller: UUID) -> Counts:
    return _counted(session, controller, ENDED)


def overview(
    session: Session, controller: UUID, ended: Counts, *, coalesce: timedelta, now: datetime
) -> Overview:
    """`coalesce` is the window of models whose policy names none."""
    seen = forecasting.present(session, coalesce=coalesce, now=now)
    return Overview(
        requests=_requests(session, controller, ended, now),
        queue=_queue(session, controller, seen, now),
        runs=_live_runs(session, controller, seen, now),
        last_runs=[
            EndedRun(**run_views.run_summary(run).model_dump(), model_name=name)
            for run, name in session.execute(
                _runs(controller)
                .where(Run.state.in_(_ENDED_RUN), Run.finished_at.is_not(None))
                .order_by(Run.id.desc())
                .limit(LAST_RUNS)
            )
        ],
        workers=_workers(session, controller, now),
        paused_models=_paused_models(session, controller, now),
        callbacks=_callbacks(session, controller),
        audit=_audit(session),
        paused=restore.is_paused(session),
    )


def _counted(session: Session, controller: UUID, states: tuple[RequestState, ...]) -> Counts:
    """One range of an index for each state, which holds everything that is asked."""
    count = select(func.count()).select_from(ErasureRequest)
    return {
        state: session.scalar(
            count.where(ErasureRequest.controller_id == controller, ErasureRequest.state == state)
        )
        or 0
        for state in states
    }


def _requests(session: Session, controller: UUID, ended: Counts, now: datetime) -> RequestCounts:
    by_state = {**ended, **_counted(session, controller, OPEN_REQUEST)}
    soon, late = _late(session, controller, now)
    wanted = RequestFilter(state=list(OPEN_REQUEST), due_before=now + _FOR_EVER)
    first, _ = listing.page(session, controller, wanted, None, NEXT_DUE, now=now)
    return RequestCounts(
        by_state={state: by_state[state] for state in RequestState},
        open=sum(by_state[state] for state in OPEN_REQUEST),
        due_soon=soon,
        overdue=late,
        next_due=[
            DueRequest(
                **views.summary(one, now=now).model_dump(include=set(DueRequest.model_fields))
            )
            for one in first
        ],
    )


def _late(session: Session, controller: UUID, now: datetime) -> tuple[int, int]:
    """How many are due soon, and how many are late: of those whose date is near or past."""
    late = is_overdue(now)
    totals = [
        session.execute(
            select(func.count(), func.count().filter(late)).where(
                ErasureRequest.controller_id == controller,
                ErasureRequest.state == state,
                effective_due() < now + DUE_SOON,
            )
        ).one()
        for state in OPEN_REQUEST
    ]
    overdue = sum(row[1] for row in totals)
    return sum(row[0] for row in totals) - overdue, overdue


def _queue(session: Session, controller: UUID, seen: Look, now: datetime) -> Queue:
    waiting = dict(
        session.execute(
            select(ErasureItem.model_id, func.count())
            .join(Model, Model.id == ErasureItem.model_id)
            .where(Model.controller_id == controller, waits_for_a_run())
            .group_by(ErasureItem.model_id)
        ).all()
    )
    live = session.execute(
        select(Run.id, Run.model_id)
        .join(Model, Model.id == Run.model_id)
        .where(Model.controller_id == controller, Run.state.in_(LIVE_RUN))
    ).all()
    busy = {model for _, model in live}
    names = [run for run, _ in live] + [model for model in waiting if model not in busy]
    return Queue(
        waiting_items=sum(waiting.values()),
        waiting_models=len(waiting),
        expected_completion_at=_last_end(session, seen, names, busy & waiting.keys(), now),
    )


def _last_end(
    session: Session, seen: Look, names: list[UUID], again: set[UUID], now: datetime
) -> datetime | None:
    """`again`: models that have a run, and items that wait for the one after it."""
    ends = [seen.ends.get(name) for name in names]
    ends += [seen.end_of_next(session, model, now) for model in again]
    known = [end for end in ends if end is not None]
    return _minute(max(known)) if known and len(known) == len(ends) else None


def _minute(time: datetime) -> datetime:
    """The next full one: an estimate that moves with every second would never be the same twice."""
    return (time + timedelta(seconds=59, microseconds=999_999)).replace(second=0, microsecond=0)


def _runs(controller: UUID) -> Select[Run, str]:
    return (
        select(Run, Model.name)
        .join(Model, Model.id == Run.model_id)
        .where(Model.controller_id == controller)
    )


def _live_runs(session: Session, controller: UUID, seen: Look, now: datetime) -> list[LiveRun]:
    rows = session.execute(
        _runs(controller).where(Run.state.in_(LIVE_RUN)).order_by(Run.due_at, Run.id).limit(MOST)
    )
    shown = []
    for run, name in rows:
        end = seen.ends.get(run.id)
        shown.append(
            LiveRun(
                **run_views.run_summary(run).model_dump(),
                model_name=name,
                lease_lapsed=run.state in LEASED_RUN
                and run.lease_until is not None
                and run.lease_until < now,
                expected_end_at=None if end is None else _minute(end),
            )
        )
    return shown


def _workers(session: Session, controller: UUID, now: datetime) -> list[OverviewWorker]:
    rows = session.execute(
        select(Worker, Model.controller_id)
        .outerjoin(Run, Run.id == Worker.current_run_id)
        .outerjoin(Model, Model.id == Run.model_id)
        .where(Worker.heartbeat_at > now - timedelta(days=1))
        .order_by(Worker.name, Worker.id)
        .limit(MOST)
    )
    return [
        OverviewWorker(
            name=worker.name,
            role=worker.role,
            device=worker.device,
            alive=(alive := worker.heartbeat_at > now - SILENCE),
            last_heard_at=None if alive else worker.heartbeat_at,
            current_run=worker.current_run_id if owner == controller else None,
        )
        for worker, owner in rows
    ]


def _paused_models(session: Session, controller: UUID, now: datetime) -> list[PausedModel]:
    rows = session.execute(
        select(Model.id, Model.name, Model.paused_until, Model.paused_reason)
        .where(Model.controller_id == controller, breaker.is_open_now(now))
        .order_by(Model.name)
        .limit(MOST)
    )
    return [
        PausedModel(id=id, name=name, until=until, reason=reason)
        for id, name, until, reason in rows
    ]


def _callbacks(session: Session, controller: UUID) -> Callbacks:
    counted: dict[Any, int] = dict(
        session.execute(
            select(WebhookDelivery.state, func.count())
            .where(
                WebhookDelivery.controller_id == controller,
                WebhookDelivery.state.in_((*OPEN_DELIVERY, DeliveryState.DEAD)),
            )
            .group_by(WebhookDelivery.state)
        ).all()
    )
    return Callbacks(
        waiting=sum(counted.get(state, 0) for state in OPEN_DELIVERY),
        failed=counted.get(DeliveryState.DEAD, 0),
    )


def _audit(session: Session) -> AuditHead:
    size, root = sequencer.head(session)
    signed = checkpoints.newest(session)
    return AuditHead(
        size=size,
        root=root.hex(),
        pending=count_pending(session),
        checkpoint=SignedHead(size=signed.tree_size, at=signed.created_at) if signed else None,
        rewound=checkpoints.is_rewound(session),
    )
