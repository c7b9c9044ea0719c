"""What the protocol says of a request, as strictly as it is written.

`request_status` has no word for a failure, and a controller takes `cancelled` for done. So whatever
has failed or was refused reads as in progress, and the extension says what it really is.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from app.certificates import service as certificates
from app.erasure import due_dates
from app.erasure.first_page import first_page
from app.erasure.states import REQUEST, ItemState, Outcome, RequestState
from app.erasure.tables import ErasureItem, ErasureRequest, Run
from app.erasure.verdict import VerdictName
from app.ids import controller_id, model_id, request_id
from app.opendsr.schemas import CancellationReceipt, Receipt, RequestStatus, Status
from app.opendsr.tables import OpenDsrRequest

_STATUS: Mapping[RequestState, RequestStatus] = {
    RequestState.RECEIVED: "pending",
    RequestState.AWAITING_APPROVAL: "pending",
    RequestState.SCHEDULED: "pending",
    RequestState.RUNNING: "in_progress",
    RequestState.ON_HOLD: "in_progress",
    RequestState.NEEDS_DECISION: "in_progress",
    RequestState.FAILED: "in_progress",
    RequestState.COMPLETED: "completed",
    RequestState.REFUSED: "in_progress",
    RequestState.CANCELLED: "cancelled",
}
# Somebody has to act first, so a date that was promised before may not hold.
_WAITS = (RequestState.ON_HOLD, RequestState.NEEDS_DECISION, RequestState.FAILED)
# Of several models, the verdict of the one of which least can be said comes first.
_WEAKEST_FIRST = (
    VerdictName.DISTINGUISHABLE,
    VerdictName.OVER_UNLEARNED,
    VerdictName.NO_VALID_REFERENCE,
    VerdictName.INSUFFICIENT_DATA,
    VerdictName.NOT_SHOWN,
    VerdictName.REDUCED,
    VerdictName.WITHIN_MARGIN,
)


def time_text(at: datetime) -> str:
    """RFC 3339 in whole seconds, `2026-01-31T12:00:00Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def receipt(row: OpenDsrRequest, encoded_request: str) -> Receipt:
    """Of stored fields that never change, so that a repeat is answered with the same bytes."""
    return Receipt(
        controller_id=controller_id(row.controller_id),
        subject_request_id=str(row.subject_request_id),
        received_time=time_text(row.received_time),
        expected_completion_time=time_text(row.expected_completion_time),
        encoded_request=encoded_request,
    )


def cancellation(
    row: OpenDsrRequest, request: ErasureRequest, api_version: str
) -> CancellationReceipt:
    """`request` is cancelled, a state that nothing changes any more."""
    return CancellationReceipt(
        controller_id=controller_id(row.controller_id),
        subject_request_id=str(row.subject_request_id),
        received_time=time_text(request.updated_at),
        api_version=api_version,
    )


def request_status(request: ErasureRequest, items: list[ErasureItem]) -> RequestStatus:
    status = _STATUS[request.state]
    return "in_progress" if status == "pending" and _is_reopened(items) else status


def status(
    session: Session, row: OpenDsrRequest, request: ErasureRequest, api_version: str
) -> Status:
    items = items_of(session, request.id)
    present = request_status(request, items)
    newest = certificates.newest(session, request.id)
    return Status(
        controller_id=controller_id(row.controller_id),
        subject_request_id=str(row.subject_request_id),
        request_status=present,
        expected_completion_time=time_text(_expected(request, items)),
        api_version=api_version,
        results_url=_results_url(row, request) if present == "completed" and newest else None,
        results_count=_results_count(request, items) if present == "completed" else None,
        extensions={
            row.domain: {
                "state": request.state,
                "outcome": request.outcome,
                "reason_code": request.reason_code,
                "models": [{"id": model_id(item.model_id), "state": item.state} for item in items],
                "verification": _verification(session, items),
                "certificate_sha256": newest.payload_sha256 if newest else None,
            }
        },
    )


def items_of(session: Session, request: UUID) -> list[ErasureItem]:
    return list(
        session.scalars(
            select(ErasureItem)
            .where(ErasureItem.request_id == request)
            .order_by(ErasureItem.model_id)
            .execution_options(populate_existing=True)
        )
    )


def _is_reopened(items: list[ErasureItem]) -> bool:
    return any(item.reopened_at is not None for item in items)


def _expected(request: ErasureRequest, items: list[ErasureItem]) -> datetime:
    """The date that is kept to; a later one where it waits for a person, or was reopened."""
    due = request.wanted_by or due_dates.effective(request)
    place = REQUEST[request.state]
    reopened = _is_reopened(items) and not place.ends
    if not (request.state in _WAITS or reopened):
        return due
    until = request.held_until or request.updated_at + (place.longest or timedelta())
    return max(due, until)


def _results_url(row: OpenDsrRequest, request: ErasureRequest) -> str | None:
    """The result of an erasure is its certificate; whoever asks for it needs a key."""
    if row.public_url is None:
        return None
    return f"{row.public_url}/api/v1/erasure-requests/{request_id(request.id)}/certificate"


def _results_count(request: ErasureRequest, items: list[ErasureItem]) -> int:
    """Training samples that were unlearned, counted for each model."""
    if request.outcome is Outcome.NO_MATCH:
        return 0
    return sum(item.forget_count for item in items if item.state is ItemState.PUBLISHED)


def _verification(session: Session, items: list[ErasureItem]) -> dict[str, Any] | None:
    """None before any model was measured; of several, the one of which least can be said."""
    runs = session.scalars(
        select(Run)
        .where(Run.id.in_([item.run_id for item in items if item.run_id]), Run.verdict.is_not(None))
        .options(undefer(Run.metrics))
        .order_by(Run.id)
        .execution_options(populate_existing=True)
    ).all()
    if not runs:
        return None
    weakest = min(runs, key=lambda run: _WEAKEST_FIRST.index(VerdictName(str(run.verdict))))
    found = first_page(weakest.metrics) if weakest.metrics else None
    return {
        "rf_jsd": found.rf_jsd_after if found else None,
        "p_value": found.same_model_p if found else None,
        "verdict": weakest.verdict,
    }
