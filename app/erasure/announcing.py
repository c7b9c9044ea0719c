"""What receivers of callbacks are told about a case: ids, states, codes and times, nothing else."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.canonical import instant_text
from app.certificates.tables import Certificate
from app.erasure.states import RequestState
from app.erasure.tables import ErasureRequest
from app.ids import certificate_id, request_id
from app.webhooks import service as callbacks
from app.webhooks import telling
from app.webhooks.events import EventType


def request_moved(
    session: Session, request: ErasureRequest, came_from: RequestState, cause: str, *, now: datetime
) -> None:
    """In the transaction of the move, which holds the request."""
    event = EventType(f"erasure_request.{request.state}")
    facts = _facts(request) | {"previous_state": came_from, "cause": cause}
    _tell(session, request, event, facts, now)
    if request.state is RequestState.CANCELLED:  # the only end that no certificate follows
        over(session, request, now=now)


def deadline_neared(
    session: Session, request: ErasureRequest, days_left: int, *, now: datetime
) -> None:
    event = EventType.REQUEST_DUE_SOON if days_left else EventType.REQUEST_OVERDUE
    _tell(session, request, event, _facts(request) | {"days_left": days_left}, now)


def request_closed(session: Session, request: ErasureRequest, *, now: datetime) -> None:
    _tell(session, request, EventType.REQUEST_CLOSED, _facts(request), now)


def over(session: Session, request: ErasureRequest, *, now: datetime) -> None:
    """After the last that there is to tell: the request's own receivers are let go."""
    callbacks.end_callbacks(session, request.id, now=now)


def certificate_written(
    session: Session, controller: UUID, certificate: Certificate, *, now: datetime
) -> None:
    replaced = certificate.replaces_id
    telling.emit(
        session,
        controller,
        EventType.CERTIFICATE_WRITTEN,
        {
            "id": certificate_id(certificate.id),
            "request": request_id(certificate.request_id),
            "payload_sha256": certificate.payload_sha256,
            "replaces": certificate_id(replaced) if replaced else None,
        },
        request_id=certificate.request_id,
        now=now,
    )


def _facts(request: ErasureRequest) -> dict[str, Any]:
    """`version` grows with every change, so that a receiver can tell which of two is newer."""
    return {
        "id": request_id(request.id),
        "version": request.row_version,
        "state": request.state,
        "outcome": request.outcome,
        "reason_code": request.reason_code,
        "due_at": instant_text(request.extended_due_at or request.due_at),
        "completed_at": _instant(request.completed_at),
        "closed_at": _instant(request.closed_at),
    }


def _tell(
    session: Session,
    request: ErasureRequest,
    event: EventType,
    facts: dict[str, Any],
    now: datetime,
) -> None:
    telling.emit(session, request.controller_id, event, facts, request_id=request.id, now=now)


def _instant(at: datetime | None) -> str | None:
    return None if at is None else instant_text(at)
