"""What a worker could take now, in the order in which it should. Reads only.

The database is the queue: a model is worth a claim if a run of its waits, or if enough time has
passed since items began to wait for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from app.erasure import batching, breaker
from app.erasure.batching import Waiting
from app.erasure.states import KEPT_BACK, LIVE_RUN, ItemState, RunState
from app.erasure.tables import ErasureItem, ErasureRequest, Run
from app.registry.policy import Policy
from app.registry.tables import Model
from app.restore import service as restore

DUE_SOON = timedelta(days=7)
# Enough finished runs for a median that one odd run does not move.
RUNS_MEASURED = 9

_Asking = aliased(ErasureRequest)


@dataclass(frozen=True)
class Candidate:
    """A model that a worker may claim a run of."""

    model_id: UUID
    due_at: datetime


def effective_due() -> ColumnElement[Any]:
    return func.coalesce(ErasureRequest.extended_due_at, ErasureRequest.due_at)


def wanted_by() -> ColumnElement[Any]:
    """What work is ordered by: the caller's own date, which lies before the law's, or the law's."""
    return func.coalesce(ErasureRequest.wanted_by, effective_due())


def is_overdue(now: datetime) -> ColumnElement[bool]:
    """Of open requests. Where the legal clock stands still, it shows when it stopped."""
    shown = func.coalesce(
        ErasureRequest.paused_since, literal(now, ErasureRequest.paused_since.type)
    )
    return effective_due() < shown


def waits_for_a_run() -> ColumnElement[bool]:
    """Of items: scheduled, and in no run; or left by a run that failed and was taken apart, or that
    went on without it while its request was on hold. None whose request is held back."""
    left = exists().where(
        Run.id == ErasureItem.run_id, Run.state.in_([RunState.FAILED, RunState.SUPERSEDED])
    )
    held_back = exists().where(_Asking.id == ErasureItem.request_id, _Asking.state.in_(KEPT_BACK))
    return and_(
        ErasureItem.state == ItemState.SCHEDULED,
        or_(ErasureItem.run_id.is_(None), left),
        ~held_back,
    )


def candidates(session: Session, *, coalesce: timedelta, now: datetime) -> list[Candidate]:
    """Models with a queued run first, then models whose batch is ready; earliest due first. None
    that is paused, and none at all while the service is."""
    if restore.is_paused(session):
        return []
    queued = session.execute(
        select(Run.model_id, Run.due_at)
        .join(Model, Model.id == Run.model_id)
        .where(Run.state == RunState.QUEUED, breaker.may_begin(now))
        .where((Run.not_before.is_(None)) | (Run.not_before <= now))
        .order_by(Run.due_at, Run.id)
    )
    first = [Candidate(model, due) for model, due in queued]
    return [*first, *_ready_batches(session, coalesce, now)]


def measured_run_time(session: Session, model: UUID) -> timedelta | None:
    """Median length of the model's latest successful runs."""
    lengths = sorted(
        finished - started
        for started, finished in session.execute(
            select(Run.started_at, Run.finished_at)
            .where(Run.model_id == model, Run.state == RunState.SUCCEEDED)
            .order_by(Run.id.desc())
            .limit(RUNS_MEASURED)
        )
        if started is not None and finished is not None
    )
    return lengths[len(lengths) // 2] if lengths else None


def own_window(policy: dict[str, Any]) -> timedelta | None:
    """How long a model's requests wait for each other, where its policy says so."""
    own = Policy.model_validate(policy).coalesce_seconds
    return None if own is None else timedelta(seconds=own)


def _ready_batches(session: Session, coalesce: timedelta, now: datetime) -> list[Candidate]:
    ready = []
    for model, policy, waiting in waiting_by_model(session, now):
        own = own_window(policy)
        window = coalesce if own is None else own
        run_time = measured_run_time(session, model) or batching.FIRST_ESTIMATE
        if batching.ready_at([waiting], window=window, run_time=run_time) <= now:
            ready.append(Candidate(model, waiting.due_at))
    return sorted(ready, key=lambda candidate: (candidate.due_at, candidate.model_id))


def waiting_by_model(
    session: Session, now: datetime
) -> Sequence[tuple[UUID, dict[str, Any], Waiting]]:
    """Of each model's waiting items, the two times that decide: the first acceptance and the first
    due date."""
    busy = select(Run.model_id).where(Run.state.in_(LIVE_RUN))
    waits = (
        select(
            ErasureItem.model_id,
            func.min(ErasureItem.accepted_at).label("accepted_at"),
            func.min(wanted_by()).label("due_at"),
        )
        .join(ErasureRequest, ErasureRequest.id == ErasureItem.request_id)
        .where(
            waits_for_a_run(),
            ErasureItem.model_id.not_in(busy),
        )
        .group_by(ErasureItem.model_id)
        .subquery()
    )
    rows = session.execute(
        select(Model.id, Model.policy, waits.c.accepted_at, waits.c.due_at)
        .join(waits, waits.c.model_id == Model.id)
        .where(breaker.may_begin(now))
    )
    return [(model, policy, Waiting(accepted, due)) for model, policy, accepted, due in rows]
