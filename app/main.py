"""The HTTP service. `create_app` puts the parts together; there is nothing else here."""

import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.datastructures import State
from starlette.middleware import Middleware

import app.http.without_pydantic_one  # noqa: F401
from app import health, observability
from app.arenas import share_one_arena
from app.audit.endpoints import router as audit
from app.audit.proof_endpoints import router as proofs
from app.clock import utc_now
from app.config import Settings
from app.dashboard.endpoints import router as dashboard
from app.erasure.bulk_endpoints import router as bulk
from app.erasure.certificate_endpoints import router as certificates
from app.erasure.decision_endpoints import router as decisions
from app.erasure.endpoints import router as erasure_requests
from app.erasure.event_endpoints import router as events
from app.erasure.export_endpoints import router as exports
from app.erasure.following import Following
from app.erasure.pause_endpoints import router as pauses
from app.erasure.receiving import Reception
from app.erasure.recheck_endpoints import router as rechecks
from app.erasure.recipient_endpoints import router as recipients
from app.erasure.rollback_endpoints import router as rollbacks
from app.erasure.run_endpoints import router as runs
from app.erasure.suppression_endpoints import router as suppressions
from app.http import problems
from app.http.etags import Described, ETags
from app.http.headers import SafeHeaders
from app.http.limits import BodyLimits
from app.http.methods import Methods
from app.http.queries import plain_query
from app.http.rates import Rates
from app.http.reference import router as reference
from app.http.slots import Slots
from app.keys.endpoints import router as keys
from app.keys.looking_up import LookUps
from app.keys.refusals import Refusals, writing
from app.keys.session_endpoints import router as browser_sessions
from app.metrics.endpoints import router as metrics
from app.metrics.timings import Timings
from app.opendsr.endpoints import router as opendsr
from app.opendsr.speaking import Speaking
from app.overview.endpoints import router as overview
from app.overview.keeping import Overviews
from app.overview.unchanged import Unchanged
from app.registry.endpoints import router as registry
from app.restore.watch import watching
from app.runtime import Runtime
from app.version import code_version
from app.webhooks.endpoints import router as webhooks

API = "/api/v1"
# Of each connection to SQLite. There are as many as calls at the same time, and each of those reads
# little; what is not in its cache is in the system's. With 2 MB each it grew by 12 MB more.
PAGE_CACHE_KIB = 256
# In the order in which the documentation shows them.
TAGS = {
    "overview": "Everything at a glance, for dashboards that poll.",
    "erasure requests": "Submit, follow, decide and cancel deletion requests.",
    "certificates": "What was done and measured, signed, to be checked offline.",
    "runs": "What workers compute, with which figures and verdict.",
    "re-checks": "Whether completed cases hold on later versions.",
    "suppressions": "Persons whose rows are recognised when data is registered again.",
    "artifacts": "Files are uploaded under their SHA-256, then named in a registration.",
    "datasets": "Data that models were trained on.",
    "models": "Models, their policies, versions, rollbacks and recipients.",
    "audit": "The Merkle tree of everything that happened: entries, checkpoints, proofs, keys.",
    "keys": "API keys of the own controller, and log-ins of browsers.",
    "webhooks": "Receivers that are told of changes, and what became of each message.",
    "OpenDSR": "Requests by the protocols OpenDSR 2.0 and OpenGDPR 1.0.",
    "health": "Whether the service lives, and whether it can work.",
    "operations": "Figures for monitoring.",
}


def create_app(settings: Settings | None = None) -> FastAPI:
    app = prepare_app()
    furnish(app, settings or Settings())
    return app


def prepare_app() -> FastAPI:
    """Everything that no setting changes: the routes, which take most of the time. It serves
    nothing until it is furnished."""
    app = Described(
        conditional=API,
        title="LoTUS unlearning service",
        summary="The right to erasure, for trained models.",
        openapi_tags=[{"name": name, "description": about} for name, about in TAGS.items()],
        version=code_version(),
        lifespan=_lifespan,
        generate_unique_id_function=_operation_id,
        separate_input_output_schemas=False,
        # Of its own pages each would load scripts from another host; `reference` has one that
        # does not. And a redirect would follow the Host header wherever the caller says.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    methods = Methods(app)
    problems.install(app, methods)
    query = Depends(plain_query(repeated=frozenset({"state"})))
    api = APIRouter(
        prefix=API,
        responses=problems.RESPONSES,
        dependencies=[Depends(methods.check), query],
    )
    # What has a fixed place below `/erasure-requests` comes before what has an id there.
    cases = (
        bulk,
        exports,
        events,
        erasure_requests,
        decisions,
        certificates,
        recipients,
        runs,
        rechecks,
        suppressions,
    )
    access = (keys, browser_sessions)
    for router in (overview, *cases, registry, pauses, rollbacks, audit, proofs, *access, webhooks):
        api.include_router(router)
    app.include_router(api)
    app.include_router(opendsr)
    app.include_router(health.router)
    app.include_router(metrics)
    app.include_router(reference)
    app.include_router(dashboard)
    return app


def furnish(app: FastAPI, settings: Settings) -> None:
    """Opens what the settings name, and counts from zero. What was there before is left behind, so
    an app can be furnished again once it has ended."""
    runtime = Runtime.open(settings, page_cache_kib=PAGE_CACHE_KIB)
    timings = Timings()
    look_ups, overviews = LookUps(runtime), Overviews(runtime)
    rates = Rates.of(
        settings.rate_limit,
        settings.login_failure_limit,
        settings.rate_limit_url or settings.broker_url,
    )
    app.state = State(
        {
            "runtime": runtime,
            "rates": rates,
            "refusals": Refusals(),
            "look_ups": look_ups,
            "reception": Reception(runtime),
            "timings": timings,
            # Each holds a connection, and a thread now and then.
            "bulk_slots": Slots(4, 2, retry_after=10),
            "export_slots": Slots(4, 2, retry_after=10),
            "stream_slots": Slots(200, 50, retry_after=10),
            "following": Following(runtime, utc_now),
            "overviews": overviews,
        }
    )
    app.user_middleware = [
        Middleware(Speaking, settings=settings),
        Middleware(SafeHeaders),
        Middleware(observability.RequestLog, observe=timings.observe),
        Middleware(
            Unchanged,
            path=f"{API}/overview",
            public_url=settings.public_url,
            look_ups=look_ups,
            overviews=overviews,
            calls=rates.calls,
        ),
        Middleware(
            BodyLimits,
            max_body_bytes=settings.max_body_bytes,
            max_upload_bytes=settings.max_upload_bytes,
        ),
        Middleware(ETags, under=API),
    ]
    app.middleware_stack = None


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    runtime: Runtime = app.state.runtime
    if threading.current_thread() is threading.main_thread():  # the process serves, and no test
        share_one_arena()
        # What was loaded stays. Looking through it for garbage again and again would let calls
        # wait for a tenth of a second each time.
        gc.collect()
        gc.freeze()
    try:
        with watching(runtime), writing(runtime, app.state.refusals):
            yield
    finally:
        app.state.look_ups.close()
        app.state.reception.close()
        runtime.close()


def _operation_id(route: APIRoute) -> str:
    """The function's own name, which is what a generated client will call it."""
    return route.name
