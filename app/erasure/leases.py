"""Claim, renew, give back, expire: how a run is held by at most one worker.

A claim raises the run's attempt, which every later write of the worker must name. A worker that
fell silent finds, when it wakes, that its attempt is no longer the run's, and stops.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from app.audit.kinds import SERVICE, worker_actor
from app.erasure import completion, forming
from app.erasure.states import LEASED_RUN, ItemState, RunState
from app.erasure.tables import ErasureItem, ErrorClass, Run, RunItem
from app.erasure.transitions import (
    Cause,
    Event,
    Fence,
    LeaseLost,
    fenced_run,
    lock_items,
    move_item,
    move_run,
)
from app.keyring import Keyring
from app.registry.tables import Model

# The third crash of a run is the last: what kills a worker three times is not chance.
MOST_ATTEMPTS = 3


@dataclass(frozen=True)
class Claim:
    fence: Fence
    model_id: UUID


def claim(
    session: Session,
    keyring: Keyring,
    worker: UUID,
    *,
    lease: timedelta,
    coalesce: timedelta,
    now: datetime,
) -> Claim | None:
    """Takes the queued run that is due first, or else forms one, and holds it for `lease`."""
    actor = worker_actor(worker)
    run = session.scalar(
        select(Run)
        .where(Run.state == RunState.QUEUED)
        .order_by(Run.due_at, Run.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    settled: set[UUID] = set()
    if run is None:
        run, settled = forming.form_due_run(session, coalesce=coalesce, now=now, actor=actor)
    cause = Cause(Event.CLAIMED, actor, now)
    if run is not None:
        controller = _controller(session, run)
        move_run(
            session,
            run,
            RunState.RUNNING,
            cause,
            controller=controller,
            attempt=run.attempt + 1,
            lease_until=now + lease,
            worker_id=worker,
            started_at=now,
            progress=None,
            epochs=None,
            error_class=None,
            error_detail=None,
        )
        for item in _items(session, run):
            settled.add(item.request_id)
            if item.state is not ItemState.RUNNING:
                move_item(session, item, ItemState.RUNNING, cause, controller=controller)
    completion.settle(session, keyring, settled, cause)
    return Claim(Fence(run.id, run.attempt), run.model_id) if run else None


def anything_waits(session: Session) -> bool:
    """Whether a claim is worth its transaction: a run is queued, or an item waits for one."""
    queued = select(Run.id).where(Run.state == RunState.QUEUED)
    waiting = select(ErasureItem.id).where(
        ErasureItem.state == ItemState.SCHEDULED, ErasureItem.run_id.is_(None)
    )
    return any(session.scalar(query.limit(1)) is not None for query in (queued, waiting))


def renew(session: Session, fence: Fence, *, lease: timedelta, now: datetime) -> None:
    """Extends the lease; raises LeaseLost if the run was cancelled, expired or taken over."""
    write(session, fence, lease_until=now + lease)


def write(session: Session, fence: Fence, **values: Any) -> None:
    """Writes columns of the held run that are not its state, such as its progress."""
    result = session.execute(
        update(Run)
        .where(Run.id == fence.run_id, Run.attempt == fence.attempt, Run.state.in_(LEASED_RUN))
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    if result.rowcount != 1:
        raise LeaseLost


def give_back(
    session: Session,
    keyring: Keyring,
    fence: Fence,
    *,
    event: Event,
    error_class: ErrorClass,
    detail: str,
    actor: str,
    now: datetime,
) -> RunState:
    """The attempt ended without a result: queued again, or failed if it was the last."""
    run = fenced_run(session, fence)
    cause = Cause(event, actor, now)
    if run.attempt >= MOST_ATTEMPTS:
        _fail(session, keyring, run, error_class, detail, cause)
        return RunState.FAILED
    move_run(
        session,
        run,
        RunState.QUEUED,
        cause,
        controller=_controller(session, run),
        error_class=error_class,
        error_detail=detail,
    )
    return RunState.QUEUED


def fail(
    session: Session,
    keyring: Keyring,
    fence: Fence,
    *,
    error_class: ErrorClass,
    detail: str,
    actor: str,
    now: datetime,
) -> None:
    """A fault that another attempt would meet again: the run fails, and its items with it."""
    run = fenced_run(session, fence)
    _fail(session, keyring, run, error_class, detail, Cause(Event.FAILED, actor, now))


def sweep(session: Session, keyring: Keyring, *, now: datetime) -> int:
    """Takes runs back from workers that fell silent. Returns how many."""
    expired = session.scalars(
        select(Run)
        .where(Run.state.in_(LEASED_RUN), Run.lease_until < now)
        .order_by(Run.id)
        .with_for_update(skip_locked=True)
    ).all()
    for run in expired:
        give_back(
            session,
            keyring,
            Fence(run.id, run.attempt),
            event=Event.LEASE_EXPIRED,
            error_class=ErrorClass.CRASHED,
            detail="The worker fell silent and its lease expired.",
            actor=SERVICE,
            now=now,
        )
    return len(expired)


def _fail(
    session: Session,
    keyring: Keyring,
    run: Run,
    error_class: ErrorClass,
    detail: str,
    cause: Cause,
) -> None:
    controller = _controller(session, run)
    move_run(
        session,
        run,
        RunState.FAILED,
        cause,
        controller=controller,
        error_class=error_class,
        error_detail=detail,
    )
    items = _items(session, run)
    for item in items:
        move_item(
            session, item, ItemState.FAILED, cause, controller=controller, error_class=error_class
        )
    completion.settle(session, keyring, {item.request_id for item in items}, cause)


def _items(session: Session, run: Run) -> list[ErasureItem]:
    ids = session.scalars(select(RunItem.item_id).where(RunItem.run_id == run.id)).all()
    return list(lock_items(session, ids))


def _controller(session: Session, run: Run) -> UUID:
    return session.get_one(Model, run.model_id).controller_id
