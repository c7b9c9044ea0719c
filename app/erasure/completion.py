"""What follows when items have moved: their requests' states, and a certificate for each that
completes, is refused, or was completed and is no longer."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure.locks import lock_requests
from app.erasure.other_ends import Completed
from app.erasure.statements import Statements
from app.erasure.states import WITHDRAWN, ItemState, Outcome, RequestState, request_state_of
from app.erasure.tables import ErasureItem, ErasureRequest, ReasonCode
from app.erasure.transitions import Cause, move_request
from app.erasure.window import window_of_items
from app.keyring import Keyring


def settle(
    session: Session,
    keyring: Keyring,
    requests: Iterable[UUID],
    cause: Cause,
) -> None:
    """Brings each request to the state that its items, a hold and an approval imply, and certifies
    how it ended. Whoever puts a request on hold or lifts it writes that, and comes here."""
    certificates = Statements(session, keyring)
    for request in lock_requests(session, set(requests)):
        if request.state in WITHDRAWN:
            continue
        items = session.scalars(
            select(ErasureItem)
            .where(ErasureItem.request_id == request.id)
            .execution_options(populate_existing=True)
        ).all()
        implied = implied_state(request, items)
        if implied is request.state:
            continue
        if implied is RequestState.COMPLETED:
            move_request(
                session,
                request,
                implied,
                cause,
                outcome=_outcome(items),
                completed_at=cause.now,
                next_closing_at=cause.now + window_of_items(session, request.id),
            )
            certificates.write(request, now=cause.now)
        else:
            before = _completed(request)
            move_request(session, request, implied, cause, reason_code=_reason(implied, items))
            if before is not None:
                certificates.write_reopened(request, before, cause.event, now=cause.now)
            if implied is RequestState.REFUSED:
                certificates.write(request, now=cause.now)


def _completed(request: ErasureRequest) -> Completed | None:
    """How it ended, before a move takes that from the row."""
    if request.completed_at is None or request.outcome is None:
        return None
    return Completed(request.completed_at, request.outcome)


def implied_state(request: ErasureRequest, items: Iterable[ErasureItem]) -> RequestState:
    return request_state_of(
        [item.state for item in items],
        held=request.hold_reason is not None,
        unapproved=request.is_unapproved,
    )


def _reason(implied: RequestState, items: Iterable[ErasureItem]) -> ReasonCode | None:
    if implied is not RequestState.REFUSED:
        return None
    return next((item.reason_code for item in items if item.reason_code), None)


def _outcome(items: Iterable[ErasureItem]) -> Outcome:
    """The least that can be said of all of them."""
    outcomes = {
        (item.numbers or {}).get("outcome") for item in items if item.state is ItemState.PUBLISHED
    }
    for weakest in (Outcome.UNLEARNED_ACCEPTED, Outcome.UNLEARNED_NOT_TESTABLE):
        if weakest in outcomes:
            return weakest
    return Outcome.UNLEARNED
