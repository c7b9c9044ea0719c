"""The record of what persons decided. Their own words are kept apart from the log, for a time."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select, update
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.db import rows_changed
from app.erasure.decision_tables import DecisionAction, RequestDecision
from app.erasure.tables import ErasureRequest
from app.erasure.transitions import Cause, Event
from app.ids import api_key_id, controller_id, request_id

# As long as somebody may have to account for a decision. The closing of a case ends it sooner.
NOTE_KEPT_FOR = timedelta(days=3 * 365)
# Made once: every look at a request asks it.
_OF_REQUEST = (
    select(RequestDecision)
    .where(RequestDecision.request_id == bindparam("request", type_=Uuid()))
    .order_by(RequestDecision.id)
)

_EVENTS = {
    DecisionAction.APPROVE: Event.APPROVED,
    DecisionAction.REFUSE: Event.REFUSED,
    DecisionAction.HOLD: Event.HELD,
    DecisionAction.RESUME: Event.RESUMED,
    DecisionAction.EXTEND: Event.EXTENDED,
}


@dataclass(frozen=True)
class Decider:
    """The key that decides, and when."""

    key: UUID
    now: datetime


@dataclass(frozen=True)
class Note:
    """A person's own words, and the random bytes that keep their hash from being guessed at."""

    text: str
    salt: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.salt + self.text.encode()).hexdigest()


def note_down(
    session: Session,
    request: ErasureRequest,
    action: DecisionAction,
    by: Decider,
    *,
    reason: str | None = None,
    until: datetime | None = None,
    evidence_sha256: str | None = None,
    note: Note | None = None,
) -> Cause:
    """Adds the row and its entry in the log, and gives the cause of whatever follows. The caller
    holds the request and knows that the decision may be made."""
    session.add(
        RequestDecision(
            request_id=request.id,
            action=action,
            reason=reason,
            until=until,
            evidence_sha256=evidence_sha256,
            note=note.text if note else None,
            note_salt=note.salt if note else None,
            note_until=by.now + NOTE_KEPT_FOR if note else None,
            decided_by=by.key,
            decided_at=by.now,
        )
    )
    session.flush()
    cause = Cause(_EVENTS[action], api_key_id(by.key), by.now)
    log.append(
        session,
        kinds.RequestDecided(
            controller=controller_id(request.controller_id),
            request=request_id(request.id),
            action=action,
            reason=reason,
            approval=request.approval,
            until=until,
            note_sha256=note.sha256 if note else None,
            actor=cause.actor,
        ),
        now=by.now,
    )
    return cause


def of(session: Session, request: UUID) -> Sequence[RequestDecision]:
    """Oldest first."""
    return session.scalars(_OF_REQUEST, {"request": request}).all()


def cut_notes(session: Session, request: UUID) -> None:
    """The case closes: the decisions stay, and the words about them go."""
    session.execute(_without_note().where(RequestDecision.request_id == request))


def any_over(session: Session, *, now: datetime) -> bool:
    over = select(RequestDecision.id).where(RequestDecision.note_until <= now)
    return session.scalar(over.limit(1)) is not None


def cut_over(session: Session, *, now: datetime) -> int:
    """Notes of cases that never close, such as refused ones, when their time is over."""
    result = session.execute(_without_note().where(RequestDecision.note_until <= now))
    return rows_changed(result)


def _without_note() -> Any:
    return (
        update(RequestDecision)
        .values(note=None, note_salt=None, note_until=None)
        .execution_options(synchronize_session=False)
    )
