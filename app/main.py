"""The HTTP service. `create_app` puts the parts together; there is nothing else here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from app import health, observability
from app.audit.endpoints import router as audit
from app.config import Settings
from app.erasure.endpoints import router as erasure_requests
from app.erasure.pause_endpoints import router as pauses
from app.erasure.rollback_endpoints import router as rollbacks
from app.erasure.run_endpoints import router as runs
from app.http import problems
from app.http.limits import BodyLimits
from app.metrics.endpoints import router as metrics
from app.metrics.timings import Timings
from app.registry.endpoints import router as registry
from app.restore.watch import watching
from app.runtime import Runtime
from app.version import code_version
from app.webhooks.endpoints import router as webhooks

API = "/api/v1"


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    runtime = Runtime.open(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with watching(runtime):
            yield
        runtime.close()

    app = FastAPI(
        title="LoTUS unlearning service",
        summary="The right to erasure, for trained models.",
        version=code_version(),
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        separate_input_output_schemas=False,
    )
    app.state.runtime = runtime
    problems.install(app)
    app.add_middleware(
        BodyLimits,
        max_body_bytes=settings.max_body_bytes,
        max_upload_bytes=settings.max_upload_bytes,
    )
    app.state.timings = Timings()
    app.add_middleware(observability.RequestLog, observe=app.state.timings.observe)
    api = APIRouter(prefix=API, responses=problems.RESPONSES)
    for router in (erasure_requests, runs, registry, pauses, rollbacks, audit, webhooks):
        api.include_router(router)
    app.include_router(api)
    app.include_router(health.router)
    app.include_router(metrics)
    return app


def _operation_id(route: APIRoute) -> str:
    """The function's own name, which is what a generated client will call it."""
    return route.name
