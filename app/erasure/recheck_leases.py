"""Claim, renew, give back, expire: how a re-check is held by at most one worker, as a run is.

Its row is formed by the claim, with the cases that have no answer at that moment.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.db import rows_changed
from app.erasure import recheck_ends, rechecks
from app.erasure.leases import MOST_CRASHES, PAUSES
from app.erasure.locks import LeaseLost
from app.erasure.recheck_ends import RecheckFence, held_still
from app.erasure.recheck_tables import Recheck, RecheckCase, RecheckState, Trigger
from app.erasure.tables import ErrorClass
from app.ids import new_id
from app.registry.locks import lock_model
from app.registry.policy import Policy
from app.registry.tables import Model, ModelVersion, VersionState


@dataclass(frozen=True)
class RecheckClaim:
    fence: RecheckFence
    model_id: UUID


def claim(
    session: Session, worker: UUID, model_id: UUID, *, lease: timedelta, now: datetime
) -> RecheckClaim | None:
    """None if another worker was faster, or there is nothing to compare; then the model says when
    to look again."""
    model = lock_model(session, model_id, skip_locked=True)
    if model is None or model.recheck_at is None or model.recheck_at > now:
        return None
    recheck = rechecks.live(session, model_id)
    if recheck is not None:
        waits = recheck.not_before is not None and recheck.not_before > now
        if recheck.state is RecheckState.RUNNING or waits:
            return None
        if session.get_one(ModelVersion, recheck.version_id).state is not VersionState.ACTIVE:
            recheck_ends.supersede(session, model, recheck, now=now)
            recheck = None
    recheck = recheck or _form(session, model, now)
    if recheck is None:
        return None
    recheck.state, recheck.attempt = RecheckState.RUNNING, recheck.attempt + 1
    recheck.lease_until, recheck.worker_id = now + lease, worker
    recheck.started_at, recheck.not_before = now, None
    recheck.error_class = recheck.error_detail = None
    session.flush()
    return RecheckClaim(RecheckFence(recheck.id, recheck.attempt), model_id)


def renew(session: Session, fence: RecheckFence, *, lease: timedelta, now: datetime) -> None:
    """Raises LeaseLost if the re-check expired, ended or was taken over."""
    result = session.execute(
        update(Recheck)
        .where(
            Recheck.id == fence.recheck_id,
            Recheck.attempt == fence.attempt,
            Recheck.state == RecheckState.RUNNING,
        )
        .values(lease_until=now + lease)
        .execution_options(synchronize_session=False)
    )
    if rows_changed(result) != 1:
        raise LeaseLost


def put_down(session: Session, fence: RecheckFence) -> None:
    """The service stops, through no fault of the re-check: queued again, and not counted."""
    _, recheck = held_still(session, fence)
    _queue(recheck)
    session.flush()


def give_back(
    session: Session,
    fence: RecheckFence,
    *,
    error_class: ErrorClass,
    detail: str,
    now: datetime,
) -> RecheckState:
    """The attempt crashed: again after a pause, or failed if it was the third time."""
    model, recheck = held_still(session, fence)
    recheck.crashes += 1
    if recheck.crashes >= MOST_CRASHES:
        recheck_ends.fail(session, model, recheck, error_class, detail, now=now)
        return RecheckState.FAILED
    _queue(recheck)
    recheck.not_before = now + PAUSES[recheck.crashes - 1]
    recheck.error_class, recheck.error_detail = error_class, detail
    session.flush()
    return RecheckState.QUEUED


def expired(session: Session, *, now: datetime) -> list[RecheckFence]:
    silent = session.execute(
        select(Recheck.id, Recheck.attempt)
        .where(Recheck.state == RecheckState.RUNNING, Recheck.lease_until < now)
        .order_by(Recheck.lease_until, Recheck.id)
    )
    return [RecheckFence(recheck, attempt) for recheck, attempt in silent]


def take_back(session: Session, fence: RecheckFence, *, now: datetime) -> bool:
    """From a worker that fell silent. False if it was renewed or ended meanwhile, or if somebody
    works on the model at this moment."""
    owner = session.scalars(select(Recheck.model_id).where(Recheck.id == fence.recheck_id)).one()
    if lock_model(session, owner, skip_locked=True) is None:
        return False
    try:
        _, recheck = held_still(session, fence)
    except LeaseLost:
        return False
    if recheck.lease_until is None or recheck.lease_until >= now:
        return False
    detail = "The worker fell silent and its lease expired."
    give_back(session, fence, error_class=ErrorClass.CRASHED, detail=detail, now=now)
    return True


def _queue(recheck: Recheck) -> None:
    recheck.state, recheck.lease_until = RecheckState.QUEUED, None


def _form(session: Session, model: Model, now: datetime) -> Recheck | None:
    version = session.scalar(
        select(ModelVersion).where(
            ModelVersion.model_id == model.id, ModelVersion.state == VersionState.ACTIVE
        )
    )
    if version is None or not rechecks.has_open_cases(session, model.id):
        model.recheck_at = None  # the next publication calls again
        return None
    every = timedelta(days=Policy.model_validate(model.policy).recheck_days)
    cases = rechecks.due(session, model, now=now, retry_after=every)
    again = rechecks.last_look(session, version) + every
    if not cases and again > now:
        model.recheck_at = again
        return None
    recheck = Recheck(
        id=new_id(),
        model_id=model.id,
        version_id=version.id,
        trigger=Trigger.NEW_VERSION if cases else Trigger.SCHEDULE,
        state=RecheckState.QUEUED,
        attempt=0,
        crashes=0,
        relapsed_count=0,
        case_count=len(cases),
        created_at=now,
    )
    session.add(recheck)
    session.flush()
    session.add_all(
        RecheckCase(
            recheck_id=recheck.id,
            item_id=case.item,
            resting_version_id=case.resting_version,
            relapsed=False,
        )
        for case in cases
    )
    session.flush()
    return recheck
