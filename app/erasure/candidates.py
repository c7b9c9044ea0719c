"""Rejected weights are kept for the person who has to decide, and no longer than that."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.erasure.destroying import end_version
from app.erasure.queue import is_overdue
from app.erasure.states import ItemState
from app.erasure.tables import ErasureItem, ErasureRequest
from app.registry.locks import lock_model
from app.registry.tables import ModelVersion, VersionState
from app.restore.service import is_paused


def over(session: Session, *, now: datetime) -> list[UUID]:
    """Rejected candidates on which nobody has to decide any more, or not in time."""
    return [version for version, _ in _over(session, now)]


def end(session: Session, identity: UUID, *, now: datetime) -> bool:
    """False if it was accepted, or ended, meanwhile, or the service is paused."""
    version = session.get_one(ModelVersion, identity)
    lock_model(session, version.model_id)
    session.refresh(version)
    if is_paused(session):
        return False
    reason = dict(_over(session, now)).get(identity)
    if reason is None:
        return False
    end_version(session, version, reason=reason, now=now)
    return True


def _over(session: Session, now: datetime) -> list[tuple[UUID, str]]:
    """Until the first of the due dates: a candidate was trained on every one of its persons."""
    asked = exists().where(
        ErasureItem.run_id == ModelVersion.run_id, ErasureItem.state == ItemState.NEEDS_DECISION
    )
    late = exists().where(
        ErasureItem.run_id == ModelVersion.run_id,
        ErasureItem.state == ItemState.NEEDS_DECISION,
        ErasureRequest.id == ErasureItem.request_id,
        is_overdue(now),
    )
    rejected = select(ModelVersion.id).where(ModelVersion.state == VersionState.REJECTED)
    decided = session.scalars(rejected.where(~asked).order_by(ModelVersion.id)).all()
    overdue = session.scalars(rejected.where(late).order_by(ModelVersion.id)).all()
    return [*((one, "decided") for one in decided), *((one, "overdue") for one in overdue)]
