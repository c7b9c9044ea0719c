"""Requests as the API shows them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select
from sqlalchemy.orm import Session

from app.certificates import service as certificates
from app.certificates.tables import Certificate
from app.erasure import decisions, due_dates, forecasting, recheck_views
from app.erasure.deadlines import on_the_clock
from app.erasure.decision_schemas import (
    ApprovalView,
    DeadlineView,
    DecisionView,
    HoldView,
    PauseInterval,
    WaitView,
)
from app.erasure.decision_tables import RequestDecision
from app.erasure.recheck_schemas import LastRecheck
from app.erasure.schemas import CertificateView, ItemView, RequestDetail, RequestSummary
from app.erasure.states import OPEN_REQUEST, REQUEST
from app.erasure.tables import ErasureItem, ErasureRequest
from app.registry.tables import Model

# Made once: every look at a request asks it.
_ITEMS = (
    select(ErasureItem, Model.name)
    .join(Model, Model.id == ErasureItem.model_id)
    .where(ErasureItem.request_id == bindparam("request", type_=Uuid()))
    .order_by(ErasureItem.id)
)


def summary(request: ErasureRequest, *, now: datetime) -> RequestSummary:
    return RequestSummary(**_summary_fields(request, now))


def detail(
    session: Session, request: ErasureRequest, *, coalesce: timedelta, now: datetime
) -> RequestDetail:
    """`coalesce` is the window of models whose policy names none."""
    found = session.execute(_ITEMS, {"request": request.id})
    shown = [(item, name) for item, name in found]
    return _shown(
        session,
        request,
        shown,
        # Only what was published once is ever compared again.
        rechecked=recheck_views.last_of(
            session, [item.id for item, _ in shown if item.published_at or item.reopened_at]
        ),
        decided=decisions.of(session, request.id),
        newest=certificates.newest(session, request.id),
        coalesce=coalesce,
        now=now,
    )


def of_new(
    session: Session,
    request: ErasureRequest,
    items: Sequence[tuple[ErasureItem, str]],
    *,
    coalesce: timedelta,
    now: datetime,
) -> RequestDetail:
    """The same of one that this transaction has stored, with `items` and nothing else yet."""
    in_order = sorted(items, key=lambda one: one[0].id)
    return _shown(
        session,
        request,
        in_order,
        rechecked={},
        decided=(),
        newest=None,
        coalesce=coalesce,
        now=now,
    )


def _shown(
    session: Session,
    request: ErasureRequest,
    items: Sequence[tuple[ErasureItem, str]],
    *,
    rechecked: Mapping[UUID, LastRecheck],
    decided: Iterable[RequestDecision],
    newest: Certificate | None,
    coalesce: timedelta,
    now: datetime,
) -> RequestDetail:
    reopened = max(
        ((item.reopened_at, item.reopened_for) for item, _ in items if item.reopened_at),
        default=(None, None),
    )
    return RequestDetail(
        **_summary_fields(request, now),
        approval=ApprovalView(asked=request.approval, approved_at=request.approved_at),
        hold=_hold(request),
        deadline=_deadline(request),
        decisions=[_decision(one) for one in decided],
        expected_completion_at=forecasting.expected_at(
            session, request, [item for item, _ in items], coalesce=coalesce, now=now
        ),
        reopened_at=reopened[0],
        reopened_for=reopened[1],
        items=[_item(item, name, rechecked.get(item.id)) for item, name in items],
        certificate=certificate(newest) if newest else None,
    )


def certificate(row: Certificate) -> CertificateView:
    return CertificateView(
        id=row.id,
        state=row.state,
        payload_sha256=row.payload_sha256,
        replaces=row.replaces_id,
        log_index=row.log_index,
        created_at=row.created_at,
        issued_at=row.issued_at,
    )


def _summary_fields(request: ErasureRequest, now: datetime) -> dict[str, Any]:
    due_at = request.extended_due_at or request.due_at
    shown = on_the_clock(now, request.paused_since)
    return {
        "id": request.id,
        "external_id": request.external_id,
        "state": request.state,
        "outcome": request.outcome,
        "reason_code": request.reason_code,
        "earlier_request": request.earlier_request_id,
        "regulation": request.regulation,
        "legal_ground": request.legal_ground,
        "submitted_at": request.submitted_at,
        "received_at": request.received_at,
        "due_at": due_at,
        "overdue": request.state in OPEN_REQUEST and due_at < shown,
        "clock_paused_since": request.paused_since,
        "waits_for": _wait(request, now),
        "completed_at": request.completed_at,
        "closes_at": request.next_closing_at if request.closed_at is None else None,
        "closed_at": request.closed_at,
        "updated_at": request.updated_at,
    }


def _wait(request: ErasureRequest, now: datetime) -> WaitView | None:
    place = REQUEST[request.state]
    if place.owner is None or place.longest is None:
        return None
    until = request.held_until or request.updated_at + place.longest
    return WaitView(by=place.owner, since=request.updated_at, until=until, late=until < now)


def _hold(request: ErasureRequest) -> HoldView | None:
    if request.hold_reason is None:
        return None
    return HoldView(reason=request.hold_reason, until=request.held_until)


def _deadline(request: ErasureRequest) -> DeadlineView:
    return DeadlineView(
        first_due_at=request.due_at,
        jurisdiction=request.jurisdiction,
        extended_due_at=request.extended_due_at,
        extension_reason=request.extension_reason,
        notified_at=request.notified_at,
        pauses=list(_pauses(request)),
    )


def _pauses(request: ErasureRequest) -> Iterator[PauseInterval]:
    for one in due_dates.pauses_of(request):
        yield PauseInterval(since=one.start, until=one.end)
    if request.paused_since is not None:
        yield PauseInterval(since=request.paused_since, until=None)


def _decision(row: RequestDecision) -> DecisionView:
    return DecisionView(
        action=row.action,
        reason=row.reason,
        until=row.until,
        evidence_sha256=row.evidence_sha256,
        note=row.note,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
    )


def _item(item: ErasureItem, model_name: str, rechecked: LastRecheck | None) -> ItemView:
    return ItemView(
        id=item.id,
        model=item.model_id,
        model_name=model_name,
        state=item.state,
        run=item.run_id,
        forget_count=item.forget_count,
        held_out_count=item.held_out_count,
        numbers=item.numbers,
        error_class=item.error_class,
        published_at=item.published_at,
        reopened_at=item.reopened_at,
        reopened_for=item.reopened_for,
        relapses=item.relapses,
        last_recheck=rechecked,
    )
