"""Cancelling a request: its items end, and a run that held one of them starts again without it."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.erasure import holding, taking_out
from app.erasure.states import ItemState, RequestState
from app.erasure.tables import ErasureRequest
from app.erasure.transitions import Cause, Event, move_item, move_request
from app.keyring import Keyring


def cancel(
    session: Session, keyring: Keyring, request: ErasureRequest, *, actor: str, now: datetime
) -> None:
    """Ends every item. A repeated cancel changes nothing; after a publication it is refused."""
    if request.state is RequestState.CANCELLED:
        return
    cause = Cause(Event.REQUEST_CANCELLED, actor, now)
    case = taking_out.lock_case(session, request)
    if case.request.state is RequestState.CANCELLED:  # another cancel was faster
        return
    taking_out.check_still(session, case)
    case.check_unpublished()
    holding.lift(session, case.request, cause)
    for item in case.open_items():
        move_item(session, item, ItemState.CANCELLED, cause, controller=request.controller_id)
    move_request(session, case.request, RequestState.CANCELLED, cause)
    taking_out.go_on_without(session, keyring, case, cause)
