"""The HTTP service. `create_app` puts the parts together; there is nothing else here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from app import health, observability
from app.audit.endpoints import router as audit
from app.audit.proof_endpoints import router as proofs
from app.config import Settings
from app.erasure.certificate_endpoints import router as certificates
from app.erasure.decision_endpoints import router as decisions
from app.erasure.endpoints import router as erasure_requests
from app.erasure.pause_endpoints import router as pauses
from app.erasure.recheck_endpoints import router as rechecks
from app.erasure.recipient_endpoints import router as recipients
from app.erasure.rollback_endpoints import router as rollbacks
from app.erasure.run_endpoints import router as runs
from app.erasure.suppression_endpoints import router as suppressions
from app.http import problems
from app.http.headers import SafeHeaders
from app.http.limits import BodyLimits
from app.http.rates import Rates
from app.http.reference import router as reference
from app.keys.endpoints import router as keys
from app.keys.refusals import Refusals, writing
from app.metrics.endpoints import router as metrics
from app.metrics.timings import Timings
from app.opendsr.endpoints import router as opendsr
from app.opendsr.speaking import Speaking
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
        with watching(runtime), writing(runtime, app.state.refusals):
            yield
        runtime.close()

    app = FastAPI(
        title="LoTUS unlearning service",
        summary="The right to erasure, for trained models.",
        version=code_version(),
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        separate_input_output_schemas=False,
        # Of its own pages each would load scripts from another host; `reference` has one that
        # does not. And a redirect would follow the Host header wherever the caller says.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.runtime = runtime
    app.state.rates = Rates.of(
        settings.rate_limit,
        settings.login_failure_limit,
        settings.rate_limit_url or settings.broker_url,
    )
    app.state.refusals = Refusals()
    problems.install(app)
    app.add_middleware(
        BodyLimits,
        max_body_bytes=settings.max_body_bytes,
        max_upload_bytes=settings.max_upload_bytes,
    )
    app.state.timings = Timings()
    app.add_middleware(observability.RequestLog, observe=app.state.timings.observe)
    app.add_middleware(SafeHeaders)
    app.add_middleware(Speaking, settings=settings)
    api = APIRouter(prefix=API, responses=problems.RESPONSES)
    cases = (erasure_requests, decisions, certificates, recipients, runs, rechecks, suppressions)
    for router in (*cases, registry, pauses, rollbacks, audit, proofs, keys, webhooks):
        api.include_router(router)
    app.include_router(api)
    app.include_router(opendsr)
    app.include_router(health.router)
    app.include_router(metrics)
    app.include_router(reference)
    return app


def _operation_id(route: APIRoute) -> str:
    """The function's own name, which is what a generated client will call it."""
    return route.name
