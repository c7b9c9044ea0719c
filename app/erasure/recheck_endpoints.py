"""`/models/{id}/rechecks` and `/rechecks/{id}`: whether completed cases hold on later versions."""

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import select

from app.erasure import recheck_views
from app.erasure.recheck_schemas import RecheckDetail, RecheckSummary
from app.erasure.recheck_tables import Recheck
from app.http.pages import DEFAULT_LIMIT, Cursor, Limit, Page, newest_first
from app.http.problems import NotFound
from app.http.sessions import ReadSession
from app.ids import ModelId, RecheckId
from app.keys.auth import Caller, require
from app.keys.scopes import Scope
from app.registry import lookup
from app.registry.tables import Model

router = APIRouter(tags=["re-checks"])

# They name requests, and say how well a model knows their samples.
Reader = Annotated[Caller, Depends(require(Scope.REQUESTS_READ))]


class UnknownRecheck(NotFound):
    code = "unknown-recheck"
    title = "No such re-check"


@router.get("/models/{model}/rechecks")
def list_rechecks(
    model: ModelId,
    caller: Reader,
    session: ReadSession,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[RecheckSummary]:
    """Newest first."""
    lookup.get_model(session, model, controller=caller.controller_id)
    query = select(Recheck).where(Recheck.model_id == model)
    rows, following = newest_first(session, query, Recheck.id, cursor, limit)
    return Page(items=recheck_views.summaries(session, rows), next_cursor=following)


@router.get("/rechecks/{id}")
def get_recheck(id: RecheckId, caller: Reader, session: ReadSession) -> RecheckDetail:
    row = session.get(Recheck, id)
    if row is None or session.get_one(Model, row.model_id).controller_id != caller.controller_id:
        raise UnknownRecheck("There is no such re-check, or it is not yours.")
    return recheck_views.detail(session, row)
