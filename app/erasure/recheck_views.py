"""Rows of re-checks as the API shows them."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select
from sqlalchemy.orm import Session

from app.erasure.recheck_schemas import (
    CaseView,
    LastRecheck,
    PooledView,
    RecheckDetail,
    RecheckSummary,
)
from app.erasure.recheck_tables import Recheck, RecheckCase
from app.erasure.tables import ErasureItem
from app.registry.schemas import CurrentVersion
from app.registry.tables import ModelVersion

# Made once: every look at a request asks it.
_OF_ITEMS = (
    select(RecheckCase, Recheck)
    .join(Recheck, Recheck.id == RecheckCase.recheck_id)
    .where(RecheckCase.item_id.in_(bindparam("items", expanding=True, type_=Uuid())))
    .order_by(Recheck.id)
)


def summaries(session: Session, rows: Sequence[Recheck]) -> list[RecheckSummary]:
    wanted = {row.version_id for row in rows}
    found = session.scalars(select(ModelVersion).where(ModelVersion.id.in_(wanted)))
    versions = {version.id: version for version in found}
    return [_summary(row, versions[row.version_id]) for row in rows]


def detail(session: Session, row: Recheck) -> RecheckDetail:
    (summary,) = summaries(session, [row])
    cases = session.execute(
        select(RecheckCase, ErasureItem.request_id)
        .join(ErasureItem, ErasureItem.id == RecheckCase.item_id)
        .where(RecheckCase.recheck_id == row.id)
        .order_by(RecheckCase.item_id)
    )
    return RecheckDetail(
        **summary.model_dump(),
        device=row.device,
        code_version=row.code_version,
        error_detail=row.error_detail,
        cases=[_case(case, request) for case, request in cases],
    )


def last_of(session: Session, items: Collection[UUID]) -> Mapping[UUID, LastRecheck]:
    """The latest re-check of each item that has one."""
    found = session.execute(_OF_ITEMS, {"items": list(items)}) if items else ()
    return {case.item_id: _last(case, recheck) for case, recheck in found}


def _summary(row: Recheck, version: ModelVersion) -> RecheckSummary:
    return RecheckSummary(
        id=row.id,
        model=row.model_id,
        version=CurrentVersion(
            id=version.id, number=version.number, sha256=version.artifact_sha256
        ),
        trigger=row.trigger,
        state=row.state,
        attempt=row.attempt,
        case_count=row.case_count,
        relapsed_count=row.relapsed_count,
        pooled=PooledView.model_validate(row.pooled) if row.pooled else None,
        error_class=row.error_class,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _case(case: RecheckCase, request: UUID) -> CaseView:
    return CaseView(
        request=request,
        item=case.item_id,
        resting_version=case.resting_version_id,
        samples=case.samples,
        change=case.change,
        standard_error=case.standard_error,
        p_value=case.p_value,
        q=case.q,
        relapsed=case.relapsed,
        skipped=case.skipped,
    )


def _last(case: RecheckCase, recheck: Recheck) -> LastRecheck:
    return LastRecheck(
        recheck=recheck.id,
        version=recheck.version_id,
        state=recheck.state,
        finished_at=recheck.finished_at,
        samples=case.samples,
        change=case.change,
        standard_error=case.standard_error,
        q=case.q,
        relapsed=case.relapsed,
        skipped=case.skipped,
    )
