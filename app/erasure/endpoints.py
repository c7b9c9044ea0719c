"""`/erasure-requests`: submit, look, cancel, decide, and ask what a deletion would mean."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response, status
from sqlalchemy.orm import Session

from app import bell
from app.erasure import cancelling, deciding, impact, listing, lookup, views
from app.erasure.filtering import RequestFilter
from app.erasure.receiving import Call, Reception
from app.erasure.schemas import (
    DecideAction,
    Impact,
    ImpactQuestion,
    RequestDetail,
    RequestSummary,
    SubmitErasure,
)
from app.erasure.submitting import identities_of
from app.erasure.tables import ErasureRequest
from app.http.idempotency import KeyHeader, RawBody
from app.http.pages import DEFAULT_LIMIT, CursorText, Page, PageSize
from app.http.sessions import CurrentRuntime, Now, ReadSession, WriteSession
from app.ids import RequestId, request_id
from app.keys.auth import Caller, require
from app.keys.scopes import Scope
from app.observability import current_request_id

router = APIRouter(prefix="/erasure-requests", tags=["erasure requests"])

Reader = Annotated[Caller, Depends(require(Scope.REQUESTS_READ))]
Writer = Annotated[Caller, Depends(require(Scope.REQUESTS_WRITE))]
Decider = Annotated[Caller, Depends(require(Scope.REQUESTS_DECIDE))]


@router.post("", status_code=status.HTTP_202_ACCEPTED)
async def submit_erasure(
    body: SubmitErasure,
    raw: RawBody,
    caller: Writer,
    request: Request,
    now: Now,
    response: Response,
    key: KeyHeader = None,
) -> RequestDetail:
    """Accepts a deletion request. Its identities become keyed references before anything is
    stored. A repeat with the same `Idempotency-Key` and body, or with the same `external_id` and
    content, is answered with the first request; anything else under either is refused."""
    reception: Reception = request.app.state.reception
    detail = await reception.take(Call(caller, body, raw, key, now, current_request_id()))
    response.headers["Location"] = f"/api/v1/erasure-requests/{request_id(detail.id)}"
    return detail


class ListQuery(RequestFilter):
    cursor: CursorText = None
    limit: PageSize = DEFAULT_LIMIT


@router.get("")
def list_erasures(
    caller: Reader, session: ReadSession, now: Now, query: Annotated[ListQuery, Query()]
) -> Page[RequestSummary]:
    """Newest first, unless the filter says otherwise. Nothing is counted, so a page costs the same
    with ten requests and with millions."""
    rows, following = listing.page(
        session, caller.controller_id, query, query.cursor, query.limit, now=now
    )
    return Page(items=[views.summary(row, now=now) for row in rows], next_cursor=following)


@router.post("/impact")
def assess_impact(
    body: ImpactQuestion, caller: Reader, session: ReadSession, runtime: CurrentRuntime
) -> Impact:
    """What a deletion would mean: samples per model, expected time, and whether the tests would
    have enough data to show anything. Stores nothing."""
    return impact.assess(
        session,
        runtime.keyring,
        caller.controller_id,
        identities_of(body.subjects),
        body.models,
    )


@router.get("/{id}")
def get_erasure(
    id: RequestId, caller: Reader, session: ReadSession, runtime: CurrentRuntime, now: Now
) -> RequestDetail:
    """The request as it is now: its state, who is waited for, the deadline, what was decided, an
    item for each model, and the newest certificate."""
    request = _owned(session, caller, id)
    return views.detail(session, request, coalesce=runtime.settings.coalesce, now=now)


@router.post("/{id}/cancel", status_code=status.HTTP_202_ACCEPTED)
def cancel_erasure(
    id: RequestId, caller: Writer, session: WriteSession, runtime: CurrentRuntime, now: Now
) -> RequestDetail:
    """Ends a request before anything of it is published. Requests that shared a run go on
    without it. A repeat changes nothing."""
    request = _owned(session, caller, id)
    cancelling.cancel(session, runtime.keyring, request, actor=caller.actor, now=now)
    bell.ring_after_commit(session, runtime.settings)
    return views.detail(session, request, coalesce=runtime.settings.coalesce, now=now)


@router.post("/{id}/decide", status_code=status.HTTP_202_ACCEPTED)
def decide_erasure(
    id: RequestId,
    body: DecideAction,
    caller: Decider,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
) -> RequestDetail:
    """What a person does with an item in `needs_decision` or `failed`. A retry, a retraining and
    an acceptance concern every item of the run, a refusal this item alone."""
    request = _owned(session, caller, id)
    deciding.decide(
        session,
        runtime.keyring,
        request,
        body.item,
        body.action,
        method=body.method,
        settings=body.settings,
        reason_code=body.reason_code,
        actor=caller.actor,
        now=now,
    )
    bell.ring_after_commit(session, runtime.settings)
    session.refresh(request)
    return views.detail(session, request, coalesce=runtime.settings.coalesce, now=now)


def _owned(session: Session, caller: Caller, id: UUID) -> ErasureRequest:
    return lookup.get_request(session, id, controller=caller.controller_id)
