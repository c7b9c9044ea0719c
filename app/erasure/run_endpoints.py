"""`/runs` and `/workers`: what is being computed, and with what result."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from sqlalchemy import select

from app.erasure import lookup, run_views
from app.erasure.plot_schemas import RunPlots
from app.erasure.run_schemas import RunDetail, RunSummary
from app.erasure.states import RunState
from app.erasure.tables import Run
from app.erasure.worker_tables import Worker, WorkerRole
from app.http.pages import DEFAULT_LIMIT, Cursor, Limit, Page, newest_first
from app.http.sessions import Now, ReadSession
from app.ids import ModelId, RunId
from app.keys.auth import Caller, require
from app.keys.scopes import Scope
from app.registry.tables import Model

router = APIRouter(tags=["runs"])

Reader = Annotated[Caller, Depends(require(Scope.REQUESTS_READ))]


class WorkerView(BaseModel):
    name: str
    role: WorkerRole
    device: str | None
    heartbeat_at: datetime
    started_at: datetime
    current_run: RunId | None


@router.get("/runs")
def list_runs(
    caller: Reader,
    session: ReadSession,
    model: Annotated[ModelId | None, Query()] = None,
    state: Annotated[list[RunState] | None, Query(max_length=20)] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[RunSummary]:
    """Newest first, with their progress; of one model or in some states, if asked so."""
    query = (
        select(Run)
        .join(Model, Model.id == Run.model_id)
        .where(Model.controller_id == caller.controller_id)
    )
    if model is not None:
        query = query.where(Run.model_id == model)
    if state:
        query = query.where(Run.state.in_(state))
    rows, following = newest_first(session, query, Run.id, cursor, limit)
    return Page(items=[run_views.run_summary(run) for run in rows], next_cursor=following)


@router.get("/runs/{id}")
def get_run(id: RunId, caller: Reader, session: ReadSession) -> RunDetail:
    """A run with its settings, what each epoch measured, the figures before and after, and the
    verdict with its reasons."""
    run = lookup.get_run(session, id, controller=caller.controller_id)
    return run_views.run_detail(session, run)


@router.get("/runs/{id}/plots")
def get_run_plots(id: RunId, caller: Reader, session: ReadSession) -> RunPlots:
    """What can be drawn of a verified run, rejected ones included: entropies, ROC curves, and
    RF-JSD beside its permuted values. 404 `no-plots` before the verdict, and after a case of the
    run was closed."""
    run = lookup.get_run(session, id, controller=caller.controller_id)
    return run_views.run_plots(session, run)


@router.get("/workers")
def list_workers(caller: Reader, session: ReadSession, now: Now) -> Page[WorkerView]:
    """Workers of the last day. They serve every controller; another controller's run is not
    named."""
    rows = session.execute(
        select(Worker, Model.controller_id)
        .outerjoin(Run, Run.id == Worker.current_run_id)
        .outerjoin(Model, Model.id == Run.model_id)
        .where(Worker.heartbeat_at > now - timedelta(days=1))
        .order_by(Worker.heartbeat_at.desc())
        .limit(200)
    )
    return Page(
        items=[
            WorkerView(
                name=worker.name,
                role=worker.role,
                device=worker.device,
                heartbeat_at=worker.heartbeat_at,
                started_at=worker.started_at,
                current_run=worker.current_run_id if owner == caller.controller_id else None,
            )
            for worker, owner in rows
        ]
    )
