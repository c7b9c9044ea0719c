"""`/models/{id}/rechecks` and `/rechecks/{id}`: whether completed cases hold on later versions."""

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import select

from app.erasure import lookup, recheck_views
from app.erasure.recheck_schemas import RecheckDetail, RecheckSummary
from app.erasure.recheck_tables import Recheck
from app.http.pages import DEFAULT_LIMIT, Cursor, Limit, Page, newest_first
from app.http.sessions import ReadSession
from app.ids import ModelId, RecheckId
from app.keys.auth import Caller, require
from app.keys.scopes import Scope
from app.registry import lookup as registered

router = APIRouter(tags=["re-checks"])

# They name requests, and say how well a model knows their samples.
Reader = Annotated[Caller, Depends(require(Scope.REQUESTS_READ))]


@router.get("/models/{model}/rechecks")
def list_rechecks(
    model: ModelId,
    caller: Reader,
    session: ReadSession,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[RecheckSummary]:
    """The comparisons of a model's open cases with its later versions, newest first."""
    registered.get_model(session, model, controller=caller.controller_id)
    query = select(Recheck).where(Recheck.model_id == model)
    rows, following = newest_first(session, query, Recheck.id, cursor, limit)
    return Page(items=recheck_views.summaries(session, rows), next_cursor=following)


@router.get("/rechecks/{id}")
def get_recheck(id: RecheckId, caller: Reader, session: ReadSession) -> RecheckDetail:
    """A re-check with the figures of each case that was compared on this version."""
    row = lookup.get_recheck(session, id, controller=caller.controller_id)
    return recheck_views.detail(session, row)
