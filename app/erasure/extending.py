"""Extending a deadline: once, in the first period, and only if the person has been told."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure import deadlines, decisions, due_dates
from app.erasure.deadlines import LAWS, ExtensionFault
from app.erasure.decision_tables import DecisionAction, ExtensionReason
from app.erasure.decisions import Decider
from app.erasure.locks import lock_requests
from app.erasure.states import REQUEST
from app.erasure.tables import ErasureRequest
from app.erasure.transitions import IllegalMove
from app.http.problems import FieldError, InvalidInput, Problem
from app.ids import controller_id, request_id


class AlreadyExtended(Problem):
    status = 409
    code = "already-extended"
    title = "The deadline has been extended before"


class NoExtension(Problem):
    status = 409
    code = "no-extension"
    title = "The deadline cannot be extended"


_NOT_POSSIBLE = {
    ExtensionFault.NONE_ALLOWED: "The law that the request rests on knows no extension.",
    ExtensionFault.PERIOD_OVER: "The first period is over; it had to be extended within it.",
}
_NOT_TOLD = {
    ExtensionFault.NOT_YET_TOLD: "lies in the future",
    ExtensionFault.TOLD_BEFORE_ASKING: "lies before the request",
}


def extend(
    session: Session,
    request: ErasureRequest,
    reason: ExtensionReason,
    by: Decider,
    *,
    notified_at: datetime,
    evidence_sha256: str | None = None,
) -> None:
    """By two months under the GDPR, by 45 days under the CCPA. `notified_at` is when the person was
    told, with the reasons; `evidence_sha256` is of the letter, which is not kept here."""
    (request,) = lock_requests(session, [request.id])
    if REQUEST[request.state].ends:
        raise IllegalMove(f"The request is {request.state}: nothing is due any more.")
    if request.extended_due_at is not None:
        raise AlreadyExtended("The law allows one extension.")
    law = LAWS[request.regulation]
    fault = deadlines.extension_fault(
        law,
        submitted=request.submitted_at,
        due=request.due_at,
        notified=notified_at,
        now=by.now,
        paused_since=request.paused_since,
    )
    if fault in _NOT_POSSIBLE:
        raise NoExtension(_NOT_POSSIBLE[fault])
    if fault is not None:
        raise InvalidInput(
            "The time at which the person was told cannot be used.",
            errors=[FieldError(field="notified_at", message=_NOT_TOLD[fault])],
        )
    extended = due_dates.due_at(request, extended=True)
    cause = decisions.note_down(
        session,
        request,
        DecisionAction.EXTEND,
        by,
        reason=reason,
        until=extended,
        evidence_sha256=evidence_sha256,
    )
    request.extended_due_at, request.notified_at = extended, notified_at
    request.extension_reason = reason
    request.remind_at = deadlines.first_reminder(extended, by.now)
    request.updated_at, request.row_version = by.now, request.row_version + 1
    session.flush()
    log.append(
        session,
        kinds.DeadlineExtended(
            controller=controller_id(request.controller_id),
            request=request_id(request.id),
            reason=reason,
            notified_at=notified_at,
            evidence_sha256=evidence_sha256,
            due_at=request.due_at,
            extended_due_at=extended,
            actor=cause.actor,
        ),
        now=by.now,
    )
