"""`/suppressions`: whose data is recognised if it is registered again, and until when."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from app.erasure import suppression
from app.erasure.schemas import Subjects
from app.erasure.subjects import Identity
from app.erasure.suppression import Suppression
from app.http.pages import DEFAULT_LIMIT, Cursor, Limit, Page, encode_cursor, id_in
from app.http.sessions import CurrentRuntime, Now, ReadSession, WriteSession
from app.ids import RequestId
from app.keys.auth import Caller, require
from app.keys.scopes import Scope

router = APIRouter(prefix="/suppressions", tags=["suppressions"])

Reader = Annotated[Caller, Depends(require(Scope.REQUESTS_READ))]
Decider = Annotated[Caller, Depends(require(Scope.REQUESTS_DECIDE))]


class SuppressionQuestion(BaseModel):
    # Nothing of an input may appear in an error message.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    subjects: Subjects


class SuppressionView(BaseModel):
    request: Annotated[RequestId, Field(description="The closed case that suppresses.")]
    since: datetime
    until: datetime


class KnownPerson(BaseModel):
    """By ids alone: what they mean, the requests say."""

    suppressions: list[SuppressionView]
    requests: Annotated[
        list[RequestId], Field(description="Requests that still have references of the person.")
    ]


class EndedSuppression(BaseModel):
    request: RequestId
    entries: Annotated[int, Field(description="Tags that are gone, from every case that had them.")]


@router.get("")
def list_suppressions(
    caller: Reader,
    session: ReadSession,
    now: Now,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[SuppressionView]:
    """One entry for each closed case that still suppresses somebody, newest case first."""
    before = None if cursor is None else id_in(cursor)
    found = suppression.page(session, caller.controller_id, before=before, limit=limit + 1, now=now)
    following = encode_cursor(found[limit - 1].request.hex) if len(found) > limit else None
    return Page(items=[_view(one) for one in found[:limit]], next_cursor=following)


@router.post("/search")
def search_suppressions(
    body: SuppressionQuestion,
    caller: Reader,
    session: ReadSession,
    runtime: CurrentRuntime,
    now: Now,
) -> KnownPerson:
    """What is known of a person: for an answer to the person, or before a new consent. Stores
    nothing."""
    known = suppression.search(
        session,
        runtime.keyring,
        caller.controller_id,
        [Identity(one.type, one.value, one.format) for one in body.subjects],
        now=now,
    )
    return KnownPerson(
        suppressions=[_view(one) for one in known.suppressions], requests=list(known.requests)
    )


@router.delete("/{request}")
def end_suppression(
    request: RequestId, caller: Decider, session: WriteSession, now: Now
) -> EndedSuppression:
    """Ends the suppression of a case's identities before its time, whichever case it comes from:
    for a person who gave a new consent. Cannot be taken back: nobody knows the person by name."""
    entries = suppression.end(session, caller.controller_id, request, actor=caller.actor, now=now)
    return EndedSuppression(request=request, entries=entries)


def _view(found: Suppression) -> SuppressionView:
    return SuppressionView(request=found.request, since=found.since, until=found.until)
