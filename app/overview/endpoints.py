"""`/overview`: the state of everything on one page, for dashboards that poll."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.http.sessions import Now
from app.keys.auth import Caller, require
from app.keys.scopes import Scope
from app.overview.keeping import Overviews
from app.overview.schemas import Overview

router = APIRouter(tags=["overview"])

READ = Scope.REQUESTS_READ
Reader = Annotated[Caller, Depends(require(READ))]


@router.get("/overview", response_model=Overview)
async def get_overview(request: Request, caller: Reader, now: Now) -> Response:
    """Counts by state, what is due, the queue, runs, workers, callbacks and the log's head. Made
    once a second at most, less often where there is very much to count, and then the same for all
    who ask. Poll it with `If-None-Match`: while nothing has changed the answer is 304."""
    overviews: Overviews = request.app.state.overviews
    kept = overviews.fresh(caller.controller_id)
    if kept is None:
        kept = await run_in_threadpool(overviews.of, caller.controller_id, now=now)
    return Response(kept.body, media_type="application/json", headers={"ETag": kept.etag})
