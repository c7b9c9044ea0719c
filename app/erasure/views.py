"""Rows of a case as the API shows them."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from app.certificates import service as certificates
from app.certificates.tables import Certificate
from app.erasure import recheck_views
from app.erasure.recheck_schemas import LastRecheck
from app.erasure.schemas import (
    CertificateView,
    ItemView,
    PublishedVersion,
    RequestDetail,
    RequestSummary,
    RunDetail,
    RunSummary,
)
from app.erasure.states import OPEN_REQUEST, RunState
from app.erasure.tables import ErasureItem, ErasureRequest, Run, RunItem
from app.registry.tables import Model, ModelVersion


def summary(request: ErasureRequest, *, now: datetime) -> RequestSummary:
    return RequestSummary(**_summary_fields(request, now))


def detail(session: Session, request: ErasureRequest, *, now: datetime) -> RequestDetail:
    items = session.execute(
        select(ErasureItem, Model.name)
        .join(Model, Model.id == ErasureItem.model_id)
        .where(ErasureItem.request_id == request.id)
        .order_by(ErasureItem.id)
    ).all()
    certificate = certificates.newest(session, request.id)
    rechecked = recheck_views.last_of(session, [item.id for item, _ in items])
    reopened = max(
        ((item.reopened_at, item.reopened_for) for item, _ in items if item.reopened_at),
        default=(None, None),
    )
    return RequestDetail(
        **_summary_fields(request, now),
        reopened_at=reopened[0],
        reopened_for=reopened[1],
        items=[_item(item, name, rechecked.get(item.id)) for item, name in items],
        certificate=_certificate(certificate) if certificate else None,
    )


def run_summary(run: Run) -> RunSummary:
    return RunSummary(
        id=run.id,
        model=run.model_id,
        base_version=run.base_version_id,
        rung=run.rung,
        step=run.step,
        attempt=run.attempt,
        state=run.state,
        method=run.method,
        mode=run.mode,
        verdict=run.verdict,
        progress=run.progress,
        error_class=run.error_class,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
    )


def run_detail(session: Session, run: Run) -> RunDetail:
    """Reads the big columns of this one run, which lists leave in the database."""
    run = session.scalars(
        select(Run)
        .where(Run.id == run.id)
        .options(undefer(Run.epochs), undefer(Run.metrics), undefer(Run.verdict_detail))
        .execution_options(populate_existing=True)
    ).one()
    base = session.get_one(ModelVersion, run.base_version_id)
    items = session.scalars(
        select(RunItem.item_id).where(RunItem.run_id == run.id).order_by(RunItem.item_id)
    ).all()
    return RunDetail(
        **run_summary(run).model_dump(exclude={"verdict"}),
        base_number=base.number,
        base_sha256=base.artifact_sha256,
        settings=run.settings,
        config=run.config,
        seed=run.seed,
        device=run.device,
        epochs=run.epochs or [],
        metrics=run.metrics,
        verdict=run.verdict_detail,
        published_version=_published(session, run),
        error_detail=run.error_detail,
        items=list(items),
    )


def _published(session: Session, run: Run) -> PublishedVersion | None:
    if run.state is not RunState.SUCCEEDED:
        return None
    version = session.scalars(select(ModelVersion).where(ModelVersion.run_id == run.id)).one()
    return PublishedVersion(id=version.id, number=version.number, sha256=version.artifact_sha256)


def _summary_fields(request: ErasureRequest, now: datetime) -> dict[str, Any]:
    due_at = request.extended_due_at or request.due_at
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
        "overdue": request.state in OPEN_REQUEST and due_at < now,
        "completed_at": request.completed_at,
        "closes_at": request.next_closing_at if request.closed_at is None else None,
        "closed_at": request.closed_at,
        "updated_at": request.updated_at,
    }


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


def _certificate(certificate: Certificate) -> CertificateView:
    return CertificateView(
        id=certificate.id,
        state=certificate.state,
        payload_sha256=certificate.payload_sha256,
        replaces=certificate.replaces_id,
        created_at=certificate.created_at,
    )
