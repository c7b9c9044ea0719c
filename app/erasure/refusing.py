"""Refusing a whole request, for a reason that the law gives."""

from sqlalchemy.orm import Session

from app.erasure import completion, decisions, holding, taking_out
from app.erasure.decision_schemas import REFUSALS
from app.erasure.decision_tables import DecisionAction
from app.erasure.decisions import Decider, Note
from app.erasure.states import ItemState, RequestState
from app.erasure.tables import ErasureRequest, ReasonCode
from app.erasure.transitions import check_request_move, move_item
from app.http.problems import FieldError, InvalidInput
from app.keyring import Keyring


def check_reason(reason: ReasonCode | None) -> ReasonCode:
    if reason is None or reason not in REFUSALS:
        legal = ", ".join(sorted(REFUSALS))
        raise InvalidInput(
            "A refusal needs one of the legal reasons.",
            errors=[FieldError(field="reason_code", message=f"must be one of {legal}")],
        )
    return reason


def refuse(
    session: Session,
    keyring: Keyring,
    request: ErasureRequest,
    reason: ReasonCode,
    by: Decider,
    *,
    note: Note | None = None,
) -> None:
    """Ends every item; a run that held one starts again without it. After a publication it is too
    late: what was done for the person cannot be refused any more."""
    check_reason(reason)
    case = taking_out.lock_case(session, request)
    check_request_move(case.request, RequestState.REFUSED)
    taking_out.check_still(session, case)
    case.check_unpublished()
    cause = decisions.note_down(
        session, case.request, DecisionAction.REFUSE, by, reason=reason, note=note
    )
    holding.lift(session, case.request, cause)
    for item in case.open_items():
        move_item(
            session,
            item,
            ItemState.REFUSED,
            cause,
            controller=request.controller_id,
            reason_code=reason,
        )
    completion.settle(session, keyring, [request.id], cause)
    taking_out.go_on_without(session, keyring, case, cause)
