"""Tells that a request's due date comes near, and that it has passed.

`remind_at` of a request says when to look next. It is empty for a request that has ended, and while
the legal clock stands still nobody looks.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure import announcing, deadlines, due_dates
from app.erasure.locks import lock_requests
from app.erasure.states import OPEN_REQUEST
from app.erasure.tables import ErasureRequest
from app.ids import controller_id, request_id
from app.restore.service import is_paused

AT_ONCE = 200


def due(session: Session, *, now: datetime) -> Sequence[UUID]:
    """The first of the requests to look at; none while the service is paused."""
    if is_paused(session):
        return []
    return session.scalars(
        select(ErasureRequest.id)
        .where(_to_look_at(now))
        .order_by(ErasureRequest.remind_at, ErasureRequest.id)
        .limit(AT_ONCE)
    ).all()


def remind(session: Session, requests: Sequence[UUID], *, now: datetime) -> int:
    """One message for each request that has come nearer to its date; returns how many. A service
    that stood still for days tells what is so now, and not each step that it missed."""
    told = 0
    for request in lock_requests(session, requests):
        if not _is_to_look_at(request, now):
            continue
        when = due_dates.effective(request)
        left = deadlines.days_left(when, now)
        request.remind_at = deadlines.next_reminder(when, now)
        if left is None:
            continue
        request.row_version += 1
        session.flush()
        log.append(
            session,
            kinds.DeadlineNeared(
                controller=controller_id(request.controller_id),
                request=request_id(request.id),
                due_at=when,
                days_left=left,
            ),
            now=now,
        )
        announcing.deadline_neared(session, request, left, now=now)
        told += 1
    return told


def _to_look_at(now: datetime) -> ColumnElement[bool]:
    return and_(
        ErasureRequest.remind_at <= now,
        ErasureRequest.paused_since.is_(None),
        ErasureRequest.state.in_(OPEN_REQUEST),
    )


def _is_to_look_at(request: ErasureRequest, now: datetime) -> bool:
    return (
        request.remind_at is not None
        and request.remind_at <= now
        and request.paused_since is None
        and request.state in OPEN_REQUEST
    )
