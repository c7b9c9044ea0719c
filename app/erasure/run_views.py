"""Runs as the API shows them."""

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from app.erasure.plot_schemas import RunPlots
from app.erasure.run_schemas import (
    PublishedVersion,
    RunDetail,
    RunEpoch,
    RunRequest,
    RunSummary,
)
from app.erasure.states import RUN, RunState
from app.erasure.tables import ErasureItem, ErasureRequest, Run, RunItem
from app.http.problems import NotFound
from app.registry.tables import ModelVersion


class NoPlots(NotFound):
    code = "no-plots"
    title = "The run has no plots"


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
    requests = _requests(session, run)
    return RunDetail(
        **run_summary(run).model_dump(exclude={"verdict"}),
        base_number=base.number,
        base_sha256=base.artifact_sha256,
        settings=run.settings,
        config=run.config,
        seed=run.seed,
        device=run.device,
        epochs=[RunEpoch.model_validate(epoch) for epoch in run.epochs or []],
        metrics=run.metrics,
        verdict=run.verdict_detail,
        published_version=_published(session, run),
        error_detail=run.error_detail,
        items=[one.item for one in requests],
        requests=requests,
    )


def run_plots(session: Session, run: Run) -> RunPlots:
    plots = session.scalars(select(Run.plots).where(Run.id == run.id)).one()
    if plots is None and not RUN[run.state].ends:
        raise NoPlots("They come with the verdict, and the run is not verified yet.")
    if plots is None:
        raise NoPlots(
            "It ended without a verdict or before plots were kept, or a case of the run has been "
            "closed, which destroys them."
        )
    return RunPlots.model_validate(plots)


def _requests(session: Session, run: Run) -> list[RunRequest]:
    found = session.execute(
        select(ErasureItem.id, ErasureRequest.id, ErasureRequest.external_id)
        .join(RunItem, RunItem.item_id == ErasureItem.id)
        .join(ErasureRequest, ErasureRequest.id == ErasureItem.request_id)
        .where(RunItem.run_id == run.id)
        .order_by(ErasureItem.id)
    )
    return [
        RunRequest(id=request, external_id=external_id, item=item)
        for item, request, external_id in found
    ]


def _published(session: Session, run: Run) -> PublishedVersion | None:
    if run.state is not RunState.SUCCEEDED:
        return None
    version = session.scalars(select(ModelVersion).where(ModelVersion.run_id == run.id)).one()
    return PublishedVersion(id=version.id, number=version.number, sha256=version.artifact_sha256)
