"""`/erasure-requests`: submit, look, cancel, decide, and ask what a deletion would mean."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import bell
from app.erasure import cancelling, deciding, impact, intake, lookup, views
from app.erasure.schemas import (
    DecideAction,
    Impact,
    ImpactQuestion,
    RequestDetail,
    RequestSummary,
    SubjectIdentity,
    SubmitErasure,
)
from app.erasure.states import RequestState
from app.erasure.subjects import Identity
from app.erasure.submission import Submission
from app.erasure.tables import ErasureRequest
from app.http import idempotency
from app.http.idempotency import KeyHeader, RawBody
from app.http.pages import (
    DEFAULT_LIMIT,
    Cursor,
    Limit,
    Page,
    newest_first,
)
from app.http.sessions import CurrentRuntime, Now, ReadSession, WriteSession
from app.ids import RequestId, request_id
from app.keys.auth import Caller, require
from app.keys.scopes import Scope

router = APIRouter(prefix="/erasure-requests", tags=["erasure requests"])

Reader = Annotated[Caller, Depends(require(Scope.REQUESTS_READ))]
Writer = Annotated[Caller, Depends(require(Scope.REQUESTS_WRITE))]
Decider = Annotated[Caller, Depends(require(Scope.REQUESTS_DECIDE))]


@router.post("", status_code=status.HTTP_202_ACCEPTED)
def submit_erasure(
    body: SubmitErasure,
    raw: RawBody,
    caller: Writer,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    response: Response,
    key: KeyHeader = None,
) -> RequestDetail:
    """Accepts a deletion request. Its identities become keyed references before anything is
    stored. A repeat with the same `Idempotency-Key` or `external_id` and the same body is answered
    with the first request; another body under either is a conflict."""
    digest = runtime.keyring.digest("erasure-body", caller.controller_id.bytes + raw)
    hidden = runtime.keyring.digest("idempotency-key", key.encode()) if key else None
    known = (
        idempotency.reserve(session, caller.controller_id, hidden, digest, now=now)
        if hidden
        else None
    )
    if known is not None:
        request = _owned(session, caller, known)
    else:
        submission = _submission(body, caller, digest)
        request, _ = intake.submit(session, runtime.keyring, submission, now=now)
        if hidden:
            idempotency.assign(session, caller.controller_id, hidden, request.id)
        bell.ring_after_commit(session, runtime.settings)
    response.headers["Location"] = f"/api/v1/erasure-requests/{request_id(request.id)}"
    return views.detail(session, request, now=now)


@router.get("")
def list_erasures(
    caller: Reader,
    session: ReadSession,
    now: Now,
    state: Annotated[list[RequestState] | None, Query(max_length=20)] = None,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[RequestSummary]:
    """Newest first."""
    query = select(ErasureRequest).where(ErasureRequest.controller_id == caller.controller_id)
    if state:
        query = query.where(ErasureRequest.state.in_(state))
    if external_id is not None:
        query = query.where(ErasureRequest.external_id == external_id)
    rows, following = newest_first(session, query, ErasureRequest.id, cursor, limit)
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
        _identities(body.subjects),
        body.models,
    )


@router.get("/{id}")
def get_erasure(id: RequestId, caller: Reader, session: ReadSession, now: Now) -> RequestDetail:
    return views.detail(session, _owned(session, caller, id), now=now)


@router.post("/{id}/cancel", status_code=status.HTTP_202_ACCEPTED)
def cancel_erasure(
    id: RequestId, caller: Writer, session: WriteSession, runtime: CurrentRuntime, now: Now
) -> RequestDetail:
    """Ends a request before anything of it is published. Requests that shared a run go on
    without it. A repeat changes nothing."""
    request = _owned(session, caller, id)
    cancelling.cancel(session, runtime.keyring, request, actor=caller.actor, now=now)
    bell.ring_after_commit(session, runtime.settings)
    return views.detail(session, request, now=now)


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
    return views.detail(session, request, now=now)


def _owned(session: Session, caller: Caller, id: UUID) -> ErasureRequest:
    return lookup.get_request(session, id, controller=caller.controller_id)


def _identities(subjects: list[SubjectIdentity]) -> tuple[Identity, ...]:
    return tuple(Identity(one.type, one.value, one.format) for one in subjects)


def _submission(body: SubmitErasure, caller: Caller, digest: bytes) -> Submission:
    return Submission(
        controller=caller.controller_id,
        submitted_by=caller.key_id,
        actor=caller.actor,
        external_id=body.external_id,
        identities=_identities(body.subjects),
        regulation=body.regulation,
        legal_ground=body.legal_ground,
        submitted_at=body.submitted_at,
        models=tuple(body.models) if body.models else None,
        callback_urls=tuple(body.callback_urls or ()),
        body_digest=digest,
    )
