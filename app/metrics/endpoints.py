"""`GET /metrics` for Prometheus: figures of the database, and of this process."""

import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import Metric
from sqlalchemy.exc import SQLAlchemyError

from app import revisions
from app.http.problems import RESPONSES
from app.http.sessions import CurrentRuntime, Now
from app.keys.auth import bearer, identify_by_key, require_scopes
from app.keys.scopes import Scope
from app.metrics import figures
from app.metrics.limit import limited
from app.runtime import Runtime

log = logging.getLogger("lotus.metrics")

router = APIRouter(tags=["operations"])

SCRAPE_SECONDS = 3.0


async def _may_read(
    request: Request,
    runtime: CurrentRuntime,
    now: Now,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    if not runtime.settings.metrics_open:
        caller = await identify_by_key(request, runtime, now, credentials)
        require_scopes(caller, Scope.METRICS_READ)


class _Read:
    """What `generate_latest` takes for a registry."""

    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> list[Metric]:
        return self.families


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={
        "4XX": RESPONSES["4XX"],
        503: {"description": "The figures cannot be read; the text says why"},
    },
    dependencies=[Depends(_may_read)],
)
def metrics(request: Request, runtime: CurrentRuntime, now: Now) -> Response:
    """Figures over all controllers in Prometheus's text format: counts and times, no names.

    Needs a key with `metrics:read`, unless `LOTUS_METRICS_OPEN` is set.
    """
    try:
        with runtime.database.read() as session, limited(session, SCRAPE_SECONDS):
            families = list(figures.read(session, now=now))
    except SQLAlchemyError as error:
        log.warning("metrics not read", exc_info=error)
        return PlainTextResponse(_why(runtime) + "\n", 503, headers={"Retry-After": "5"})
    content = generate_latest(_Read(families)) + generate_latest(request.app.state.timings.registry)
    return Response(content, media_type=CONTENT_TYPE_LATEST)


def _why(runtime: Runtime) -> str:
    try:
        if not revisions.is_current(runtime.database):
            return "The database is not at this version's tables: run `lotus migrate`."
    except SQLAlchemyError:
        return "The database does not answer."
    return f"The database did not give the figures within {SCRAPE_SECONDS:.0f} seconds."
