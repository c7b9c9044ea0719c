"""`POST /erasure-requests/bulk`: a file of deletion requests, answered row by row as it arrives."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.requests import ClientDisconnect

from app.erasure import bulk_rows
from app.erasure.bulk import Bulk
from app.http.exchange import NDJSON, Body, Exchange
from app.http.problems import Unavailable
from app.http.sessions import Clock, CurrentRuntime
from app.http.slots import Slots
from app.keys.auth import Caller, require
from app.keys.scopes import Scope

router = APIRouter(prefix="/erasure-requests", tags=["erasure requests"])

# How long the body may pause, and how long the whole call may last.
SILENCE_SECONDS = 30.0
LONGEST_SECONDS = 3600.0

_DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            NDJSON: {"schema": {"type": "string", "description": "One submission a line."}},
            bulk_rows.CSV_TYPE: {
                "schema": {
                    "type": "string",
                    "description": "A heading with the columns "
                    f"{', '.join(bulk_rows.NEEDED)} and, as needed, "
                    f"{', '.join(bulk_rows.OPTIONAL)}.",
                }
            },
        },
    }
}


@router.post(
    "/bulk",
    openapi_extra=_DESCRIBED,
    response_class=Response,
    responses={200: {"description": "One answer a row, then a summary.", "content": {NDJSON: {}}}},
)
async def submit_in_bulk(
    request: Request,
    caller: Annotated[Caller, Depends(require(Scope.REQUESTS_WRITE))],
    runtime: CurrentRuntime,
    clock: Clock,
) -> Response:
    """Submits up to 100,000 requests. Each row needs an `external_id`, so that a file may be sent
    again, as a whole, whatever became of it: what was accepted is repeated. The answer says of each
    row what became of it, and ends with a summary (`"end": true`); without one it was broken off.
    """
    headers = request.headers
    reader = bulk_rows.reader_for(
        headers.get("content-type", ""), headers.get("content-encoding", "")
    )
    slots: Slots = request.app.state.bulk_slots
    free = slots.take(caller.key_id.hex)
    try:
        body = Body(request, silence=SILENCE_SECONDS, whole=LONGEST_SECONDS)
        bulk = Bulk(runtime, caller, reader, body, clock)
        await bulk.begin()
    except ClientDisconnect:
        free()
        raise Unavailable("The caller went away.") from None
    except BaseException:
        free()
        raise
    return Exchange(bulk.carry_out, free)
