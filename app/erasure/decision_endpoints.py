"""`/erasure-requests/{id}/approve, refuse, hold, resume, extend`: what a person decides about a
request as a whole."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, status

from app import bell
from app.erasure import approving, extending, holding, lookup, refusing, views
from app.erasure.decision_schemas import ExtendDeadline, HoldRequest, RefuseRequest
from app.erasure.decisions import Decider, Note
from app.erasure.schemas import RequestDetail
from app.http.sessions import CurrentRuntime, Now, WriteSession
from app.ids import RequestId
from app.keys.auth import Caller, require
from app.keys.scopes import Scope

router = APIRouter(prefix="/erasure-requests", tags=["erasure requests"])

Deciding = Annotated[Caller, Depends(require(Scope.REQUESTS_DECIDE))]
NOTE_SALT_BYTES = 32


@router.post("/{id}/approve", status_code=status.HTTP_202_ACCEPTED)
def approve_erasure(
    id: RequestId, caller: Deciding, session: WriteSession, runtime: CurrentRuntime, now: Now
) -> RequestDetail:
    """Lets a request in `awaiting_approval` go on. Where a model's policy asks for four eyes, the
    key that submitted it is answered 403 `four-eyes`."""
    request = lookup.get_request(session, id, controller=caller.controller_id)
    approving.approve(session, runtime.keyring, request, Decider(caller.key_id, now))
    bell.ring_after_commit(session, runtime.settings)
    return views.detail(session, request, coalesce=runtime.settings.coalesce, now=now)


@router.post("/{id}/refuse", status_code=status.HTTP_202_ACCEPTED)
def refuse_erasure(
    id: RequestId,
    body: RefuseRequest,
    caller: Deciding,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
) -> RequestDetail:
    """Ends a request for a legal reason, before anything of it is published. Requests that shared
    a run go on without it."""
    request = lookup.get_request(session, id, controller=caller.controller_id)
    refusing.refuse(
        session,
        runtime.keyring,
        request,
        body.reason_code,
        Decider(caller.key_id, now),
        note=_note(body.note),
    )
    bell.ring_after_commit(session, runtime.settings)
    return views.detail(session, request, coalesce=runtime.settings.coalesce, now=now)


@router.post("/{id}/hold", status_code=status.HTTP_202_ACCEPTED)
def hold_erasure(
    id: RequestId,
    body: HoldRequest,
    caller: Deciding,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
) -> RequestDetail:
    """Nothing is done for the request until it is resumed; its samples stay out of every other
    run. Requests that shared a run go on without it."""
    request = lookup.get_request(session, id, controller=caller.controller_id)
    holding.hold(
        session,
        runtime.keyring,
        request,
        body.reason,
        Decider(caller.key_id, now),
        until=body.until,
        note=_note(body.note),
    )
    bell.ring_after_commit(session, runtime.settings)
    return views.detail(session, request, coalesce=runtime.settings.coalesce, now=now)


@router.post("/{id}/resume", status_code=status.HTTP_202_ACCEPTED)
def resume_erasure(
    id: RequestId, caller: Deciding, session: WriteSession, runtime: CurrentRuntime, now: Now
) -> RequestDetail:
    """Ends a hold. A clock that stood still goes on, and the due dates move by that time."""
    request = lookup.get_request(session, id, controller=caller.controller_id)
    holding.resume(session, runtime.keyring, request, Decider(caller.key_id, now))
    bell.ring_after_commit(session, runtime.settings)
    return views.detail(session, request, coalesce=runtime.settings.coalesce, now=now)


@router.post("/{id}/extend", status_code=status.HTTP_202_ACCEPTED)
def extend_deadline(
    id: RequestId,
    body: ExtendDeadline,
    caller: Deciding,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
) -> RequestDetail:
    """Once, in the first period, when the person has been told: by two months under the GDPR, by
    45 days under the CCPA."""
    request = lookup.get_request(session, id, controller=caller.controller_id)
    extending.extend(
        session,
        request,
        body.reason,
        Decider(caller.key_id, now),
        notified_at=body.notified_at,
        evidence_sha256=body.evidence_sha256,
    )
    return views.detail(session, request, coalesce=runtime.settings.coalesce, now=now)


def _note(text: str | None) -> Note | None:
    return Note(text, secrets.token_bytes(NOTE_SALT_BYTES)) if text else None
