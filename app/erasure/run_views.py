"""Runs as the API shows them."""

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from app.erasure.schemas import PublishedVersion, RunDetail, RunSummary
from app.erasure.states import RunState
from app.erasure.tables import Run, RunItem
from app.registry.tables import ModelVersion


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
