"""Putting a request on hold and resuming it.

While a request is held none of its items is in a run. A hold that asks who the person is stops the
legal clock, where the law says so and the period is not over yet.
"""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.canonical import instant_text
from app.erasure import completion, deadlines, decisions, due_dates, taking_out
from app.erasure.deadlines import LAWS
from app.erasure.decision_tables import DecisionAction, HoldReason
from app.erasure.decisions import Decider, Note
from app.erasure.locks import lock_requests
from app.erasure.states import REQUEST, ItemState, RequestState
from app.erasure.tables import ErasureRequest
from app.erasure.transitions import Cause, IllegalMove, check_request_move, move_item
from app.http.problems import FieldError, InvalidInput
from app.ids import controller_id, request_id
from app.keyring import Keyring

# A hold that is to last longer is put on again by a person, who has looked.
LONGEST_HOLD = timedelta(days=366)


def hold(
    session: Session,
    keyring: Keyring,
    request: ErasureRequest,
    reason: HoldReason,
    by: Decider,
    *,
    until: datetime | None = None,
    note: Note | None = None,
) -> None:
    """Items in a run go back to waiting, and the others of the run go on without them. What is
    published for the request stays so. `until` ends nothing: from then on the hold reads as late.
    """
    if until is not None and not by.now < until <= by.now + LONGEST_HOLD:
        raise InvalidInput(
            "The end of the hold cannot be used.",
            errors=[FieldError(field="until", message="must lie in the future, and within a year")],
        )
    case = taking_out.lock_case(session, request)
    check_request_move(case.request, RequestState.ON_HOLD)
    taking_out.check_still(session, case)
    cause = decisions.note_down(
        session, case.request, DecisionAction.HOLD, by, reason=reason, until=until, note=note
    )
    case.request.hold_reason, case.request.held_until = reason, until
    _stop_clock(session, case.request, cause)
    for item in case.open_items():
        # It keeps the run that it was in: what follows on the hold goes on from there.
        if item.state is ItemState.RUNNING:
            move_item(session, item, ItemState.SCHEDULED, cause, controller=request.controller_id)
    completion.settle(session, keyring, [request.id], cause)
    taking_out.go_on_without(session, keyring, case, cause)


def resume(session: Session, keyring: Keyring, request: ErasureRequest, by: Decider) -> None:
    """The request goes to where its items say, or back to waiting for its approval."""
    (request,) = lock_requests(session, [request.id])
    if request.state is not RequestState.ON_HOLD:
        names = ", ".join(sorted(REQUEST[request.state].next)) or "nothing: it has ended"
        raise IllegalMove(f"The request is {request.state}, not on hold; it can become {names}.")
    cause = decisions.note_down(session, request, DecisionAction.RESUME, by)
    lift(session, request, cause)
    completion.settle(session, keyring, [request.id], cause)


def lift(session: Session, request: ErasureRequest, cause: Cause) -> None:
    """Ends a hold, if there is one, whatever follows. The caller holds the request and moves it."""
    request.hold_reason = request.held_until = None
    if request.paused_since is None:
        return
    since, request.paused_since = request.paused_since, None
    interval = {"from": instant_text(since), "until": instant_text(max(since, cause.now))}
    request.paused = [*request.paused, interval]
    request.due_at = due_dates.due_at(request)
    if request.extended_due_at is not None:
        request.extended_due_at = due_dates.due_at(request, extended=True)
    request.remind_at = deadlines.first_reminder(due_dates.effective(request), cause.now)
    session.flush()
    log.append(
        session,
        kinds.DeadlineResumed(
            controller=controller_id(request.controller_id),
            request=request_id(request.id),
            paused_since=since,
            due_at=request.due_at,
            extended_due_at=request.extended_due_at,
            actor=cause.actor,
        ),
        now=cause.now,
    )


def _stop_clock(session: Session, request: ErasureRequest, cause: Cause) -> None:
    due = due_dates.effective(request)
    if (
        request.hold_reason is not HoldReason.IDENTITY_QUESTION
        or not LAWS[request.regulation].identity_stops_the_clock
        or due < cause.now  # a period that is over cannot be lengthened
    ):
        return
    request.paused_since = cause.now
    session.flush()
    log.append(
        session,
        kinds.DeadlinePaused(
            controller=controller_id(request.controller_id),
            request=request_id(request.id),
            reason=HoldReason.IDENTITY_QUESTION,
            due_at=request.due_at,
            extended_due_at=request.extended_due_at,
            actor=cause.actor,
        ),
        now=cause.now,
    )
