"""`GET /erasure-requests/export`: every request that fits a filter, as a file."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from app.erasure.export_rows import MEDIA_TYPES, ExportForm
from app.erasure.exporting import Export
from app.erasure.filtering import RequestFilter
from app.http.sessions import Clock, CurrentRuntime
from app.http.slots import Slots
from app.http.streams import Streamed
from app.keys.auth import Caller, require
from app.keys.scopes import Scope

router = APIRouter(prefix="/erasure-requests", tags=["erasure requests"])


class ExportQuery(RequestFilter):
    format: Annotated[
        ExportForm, Field(description="Either ends with a line that says how many rows there are.")
    ] = ExportForm.CSV


@router.get(
    "/export",
    response_class=Response,
    responses={
        200: {
            "description": "The file.",
            "content": {media_type.partition(";")[0]: {} for media_type in MEDIA_TYPES.values()},
        }
    },
)
async def export_erasures(
    request: Request,
    caller: Annotated[Caller, Depends(require(Scope.REQUESTS_READ))],
    runtime: CurrentRuntime,
    clock: Clock,
    query: Annotated[ExportQuery, Query()],
) -> Response:
    """The same requests as the list, all of them, in its order. A file without its last line
    (`#end` or `"end":true`) was cut. Every export is entered in the audit log."""
    slots: Slots = request.app.state.export_slots
    free = slots.take(caller.key_id.hex)
    try:
        export = Export(runtime, caller, query, query.format, clock)
        await run_in_threadpool(export.begin)
    except BaseException:
        free()
        raise
    name = f'attachment; filename="erasure-requests.{query.format}"'
    return Streamed(
        export.pieces(),
        free,
        media_type=MEDIA_TYPES[query.format],
        headers={"Content-Disposition": name},
    )
