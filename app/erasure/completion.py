"""What follows when items have moved: their requests' states, and a certificate for a completed
request."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure import statements
from app.erasure.states import ItemState, Outcome, RequestState, request_state_of
from app.erasure.tables import ErasureItem, ErasureRequest, ReasonCode
from app.erasure.transitions import Cause, lock_requests, move_request
from app.keyring import Keyring

# States that a person set and that only a person lifts: items do not move a request out of them.
_SET_BY_HAND = (
    RequestState.AWAITING_APPROVAL,
    RequestState.ON_HOLD,
    RequestState.CANCELLED,
    RequestState.REFUSED,
)


def settle(
    session: Session,
    keyring: Keyring,
    requests: Iterable[UUID],
    cause: Cause,
) -> None:
    """Brings each request to the state that its items imply, and certifies those that complete."""
    for request in lock_requests(session, set(requests)):
        if request.state in _SET_BY_HAND:
            continue
        items = session.scalars(
            select(ErasureItem)
            .where(ErasureItem.request_id == request.id)
            .execution_options(populate_existing=True)
        ).all()
        implied = request_state_of([item.state for item in items])
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
            )
            certify(session, keyring, request, cause)
        else:
            move_request(session, request, implied, cause, reason_code=_reason(implied, items))


def certify(session: Session, keyring: Keyring, request: ErasureRequest, cause: Cause) -> None:
    """Writes the payload that states what was done, in the transaction that completes it."""
    statements.write(session, keyring, request, now=cause.now)


def _reason(implied: RequestState, items: Iterable[ErasureItem]) -> ReasonCode | None:
    if implied is not RequestState.REFUSED:
        return None
    return next((item.reason_code for item in items if item.reason_code), None)


def _outcome(items: Iterable[ErasureItem]) -> Outcome:
    """The weakest of what the items' runs could show."""
    outcomes = {
        (item.numbers or {}).get("outcome") for item in items if item.state is ItemState.PUBLISHED
    }
    if outcomes == {Outcome.UNLEARNED}:
        return Outcome.UNLEARNED
    return Outcome.UNLEARNED_NOT_TESTABLE
