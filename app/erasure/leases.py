"""Claim, renew, give back, expire: how a run is held by at most one worker.

A claim raises the run's attempt, which every later write of the worker must name. A worker that
fell silent finds, when it wakes, that its attempt is no longer the run's, and stops.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.audit.kinds import SERVICE, worker_actor
from app.db import rows_changed
from app.erasure import breaker, completion, failing, forming
from app.erasure.failing import Fault
from app.erasure.locks import Fence, LeaseLost, fenced_run, items_of
from app.erasure.states import LEASED_RUN, LIVE_RUN, ItemState, RunState
from app.erasure.tables import ErrorClass, Run
from app.erasure.transitions import Cause, Event, move_item, move_run
from app.keyring import Keyring
from app.registry.locks import lock_model
from app.registry.tables import Model

# The third crash of a run is the last: what kills a worker three times is not chance.
MOST_CRASHES = 3
# How long a run waits after its first and its second crash. What passes by itself, such as a full
# disk or a machine that restarts, has time to pass.
PAUSES = (timedelta(seconds=2), timedelta(seconds=60))


@dataclass(frozen=True)
class Claim:
    fence: Fence
    model_id: UUID


def claim(
    session: Session,
    keyring: Keyring,
    worker: UUID,
    model_id: UUID,
    *,
    lease: timedelta,
    now: datetime,
) -> Claim | None:
    """Takes the model's queued run, or forms one of the items that wait for it.

    None if another worker was faster, or the model is paused. One model a transaction: a fault in
    one model's rows then stops no other, and locks are taken in one order.
    """
    model = lock_model(session, model_id, skip_locked=True)
    if model is None or breaker.is_open(model, now):
        return None
    cause = Cause(Event.CLAIMED, worker_actor(worker), now)
    run = session.scalar(
        select(Run).where(Run.model_id == model_id, Run.state == RunState.QUEUED).with_for_update()
    )
    settled: set[UUID] = set()
    if run is None and not _has_live_run(session, model_id):
        run, settled = forming.form_waiting(session, model, cause)
    if run is not None:
        settled |= _hold(session, run, model, worker, cause, lease)
    completion.settle(session, keyring, settled, cause)
    return Claim(Fence(run.id, run.attempt), model_id) if run else None


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
    if rows_changed(result) != 1:
        raise LeaseLost


def give_back(
    session: Session,
    keyring: Keyring,
    fence: Fence,
    *,
    error_class: ErrorClass,
    detail: str,
    actor: str,
    now: datetime,
    event: Event = Event.CRASHED,
) -> RunState:
    """The attempt crashed: the run is queued again after a pause, or has failed if it was the
    third time. What fails then may be one item's doing, so several items are taken apart; a store
    that does not answer is nobody's."""
    model, run = _held_still(session, fence)
    cause = Cause(event, actor, now)
    crashes = run.crashes + 1
    if crashes >= MOST_CRASHES:
        fault = Fault(error_class, detail, apart=error_class is not ErrorClass.STORAGE)
        failing.fail_run(session, keyring, model, run, fault, cause)
        return RunState.FAILED
    move_run(
        session,
        run,
        RunState.QUEUED,
        cause,
        controller=model.controller_id,
        crashes=crashes,
        memory_faults=run.memory_faults + (error_class is ErrorClass.OUT_OF_MEMORY),
        not_before=now + PAUSES[crashes - 1],
        error_class=error_class,
        error_detail=detail,
    )
    return RunState.QUEUED


def put_down(session: Session, fence: Fence, *, actor: str, now: datetime) -> None:
    """The service stops, through no fault of the run: queued again, and not counted."""
    model, run = _held_still(session, fence)
    cause = Cause(Event.STOPPED, actor, now)
    move_run(session, run, RunState.QUEUED, cause, controller=model.controller_id)


def fail(
    session: Session,
    keyring: Keyring,
    fence: Fence,
    *,
    fault: Fault,
    actor: str,
    now: datetime,
) -> None:
    """A fault that another attempt would meet again."""
    model, run = _held_still(session, fence)
    cause = Cause(Event.FAILED, actor, now)
    failing.fail_run(session, keyring, model, run, fault, cause)


def expired(session: Session, *, now: datetime) -> list[Fence]:
    """Runs whose worker fell silent, those that did so first in front; for `take_back`."""
    silent = session.execute(
        select(Run.id, Run.attempt)
        .where(Run.state.in_(LEASED_RUN), Run.lease_until < now)
        .order_by(Run.lease_until, Run.id)
    )
    return [Fence(run, attempt) for run, attempt in silent]


def take_back(session: Session, keyring: Keyring, fence: Fence, *, now: datetime) -> bool:
    """Takes one run back from a worker that fell silent; each in a transaction of its own, since
    two models' requests together are locked in no order. False if somebody works on the model at
    this moment, or if the run was renewed, ended or given back meanwhile."""
    owner = session.scalars(select(Run.model_id).where(Run.id == fence.run_id)).one()
    if lock_model(session, owner, skip_locked=True) is None:
        return False
    try:
        run = fenced_run(session, fence)
    except LeaseLost:
        return False
    if not _is_expired(run, now):
        return False
    give_back(
        session,
        keyring,
        fence,
        event=Event.LEASE_EXPIRED,
        error_class=ErrorClass.CRASHED,
        detail="The worker fell silent and its lease expired.",
        actor=SERVICE,
        now=now,
    )
    return True


def _is_expired(run: Run, now: datetime) -> bool:
    return run.lease_until is not None and run.lease_until < now


def _held_still(session: Session, fence: Fence) -> tuple[Model, Run]:
    """The fenced run with its model, locked in the common order."""
    owner = session.scalars(select(Run.model_id).where(Run.id == fence.run_id)).one()
    model = lock_model(session, owner)
    assert model is not None
    return model, fenced_run(session, fence)


def _hold(
    session: Session, run: Run, model: Model, worker: UUID, cause: Cause, lease: timedelta
) -> set[UUID]:
    """The requests whose items are running now."""
    move_run(
        session,
        run,
        RunState.RUNNING,
        cause,
        controller=model.controller_id,
        attempt=run.attempt + 1,
        lease_until=cause.now + lease,
        worker_id=worker,
        started_at=cause.now,
        not_before=None,
        progress=None,
        epochs=None,
        error_class=None,
        error_detail=None,
    )
    items = items_of(session, run)
    for item in items:
        if item.state is not ItemState.RUNNING:
            move_item(session, item, ItemState.RUNNING, cause, controller=model.controller_id)
    return {item.request_id for item in items}


def _has_live_run(session: Session, model_id: UUID) -> bool:
    live = select(Run.id).where(Run.model_id == model_id, Run.state.in_(LIVE_RUN))
    return session.scalar(live.limit(1)) is not None
