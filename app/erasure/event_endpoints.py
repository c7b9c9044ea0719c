"""`/erasure-requests/{id}/events` and `/runs/{id}/events`: what changes, as it changes."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.erasure import lookup
from app.erasure.following import Following
from app.erasure.marks import Followed, Mark, Thing, marks
from app.http import events
from app.http.sessions import CurrentRuntime
from app.http.slots import Slots
from app.http.streams import Streamed
from app.ids import RequestId, RunId
from app.keys.auth import Caller, require
from app.keys.scopes import Scope
from app.runtime import Runtime

router = APIRouter()

Reader = Annotated[Caller, Depends(require(Scope.REQUESTS_READ))]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        max_length=100,
        description="The id of the last event that arrived. Nothing is sent until there is news.",
    ),
]
_DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {"description": "A stream of events.", "content": {events.MEDIA_TYPE: {}}},
    204: {"description": "It has ended, and the client has seen its last event."},
}


@router.get(
    "/erasure-requests/{id}/events",
    response_class=Response,
    responses=_DESCRIBED,
    tags=["erasure requests"],
)
async def follow_erasure(
    id: RequestId,
    request: Request,
    caller: Reader,
    runtime: CurrentRuntime,
    last_event_id: LastEventId = None,
) -> Response:
    """Server-sent events: `request` with the whole request, at once and whenever it has changed,
    and `end` when nothing can change any more: it was cancelled, refused, or completed and closed.
    """
    return await _follow(Thing(Followed.REQUEST, id), request, caller, runtime, last_event_id)


@router.get(
    "/runs/{id}/events",
    response_class=Response,
    responses=_DESCRIBED,
    tags=["runs"],
)
async def follow_run(
    id: RunId,
    request: Request,
    caller: Reader,
    runtime: CurrentRuntime,
    last_event_id: LastEventId = None,
) -> Response:
    """Server-sent events: `run` with the run as the list shows it, at once and at every step of its
    progress, and `end` when it has ended."""
    return await _follow(Thing(Followed.RUN, id), request, caller, runtime, last_event_id)


async def _follow(
    thing: Thing, request: Request, caller: Caller, runtime: Runtime, seen: str | None
) -> Response:
    mark = await run_in_threadpool(_mark, runtime, thing, caller.controller_id)
    if mark.ended and mark.text == seen:
        return Response(status_code=204)  # tells a browser not to connect again
    slots: Slots = request.app.state.stream_slots
    following: Following = request.app.state.following
    free = slots.take(caller.key_id.hex)
    return Streamed(
        following.follow(thing, caller, seen),
        free,
        media_type=events.MEDIA_TYPE,
        headers=events.HEADERS,
    )


def _mark(runtime: Runtime, thing: Thing, controller: UUID) -> Mark:
    with runtime.database.read() as session:
        if thing.kind is Followed.RUN:
            lookup.get_run(session, thing.id, controller=controller)
        else:
            lookup.get_request(session, thing.id, controller=controller)
        return marks(session, [thing])[thing]
