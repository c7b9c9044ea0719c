"""Requests that were cancelled or refused: their references of the person go after a while too, and
what was drawn of the person's samples.

Nothing was destroyed for them and nobody is suppressed, so nothing else closes them. Until then the
person can be found again: somebody may object to a refusal.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure.destroying import cut_links, cut_plots
from app.erasure.locks import lock_requests
from app.erasure.states import WITHDRAWN
from app.erasure.tables import ErasureRequest, RequestSubject
from app.ids import controller_id, request_id

KEPT = timedelta(days=30)
AT_ONCE = 100


def over(session: Session, *, now: datetime) -> Sequence[UUID]:
    """The first of the requests whose links have been kept long enough."""
    return session.scalars(
        select(RequestSubject.request_id)
        .distinct()
        .join(ErasureRequest, ErasureRequest.id == RequestSubject.request_id)
        .where(ErasureRequest.state.in_(WITHDRAWN), ErasureRequest.updated_at <= now - KEPT)
        .order_by(RequestSubject.request_id)
        .limit(AT_ONCE)
    ).all()


def cut(session: Session, identity: UUID, *, now: datetime) -> bool:
    """False if there is nothing left to cut."""
    (request,) = lock_requests(session, [identity])
    links = cut_links(session, request)
    if not links:
        return False
    cut_plots(session, request)
    log.append(
        session,
        kinds.LinksCut(
            controller=controller_id(request.controller_id),
            request=request_id(request.id),
            link_count=links,
        ),
        now=now,
    )
    return True
