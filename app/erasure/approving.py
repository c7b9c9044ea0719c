"""Approvals: what the models of a request ask for before anything is done, and who gives it."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure import completion, decisions
from app.erasure.decision_tables import DecisionAction, RequestDecision
from app.erasure.decisions import Decider
from app.erasure.locks import lock_requests
from app.erasure.states import REQUEST, RequestState
from app.erasure.tables import ErasureRequest
from app.erasure.transitions import IllegalMove
from app.http.problems import Problem
from app.keyring import Keyring
from app.keys.service import same_holder
from app.registry.policy import Approval
from app.registry.tables import Model

_STRICTNESS = list(Approval)


class FourEyes(Problem):
    status = 403
    code = "four-eyes"
    title = "Somebody else has to approve it"


def asked_by(models: Iterable[Model]) -> Approval:
    """The strictest of what the models' policies ask for."""
    asked = (Approval(model.policy.get("approval", Approval.NONE)) for model in models)
    return _strictest(Approval.NONE, *asked)


def ask_too(session: Session, request: ErasureRequest, model: Model) -> None:
    """A model has come to the request after its submission. An approval that was given counts for
    it, unless the model wants two persons and the request has been in the hands of one. The caller
    holds the request, and settles it."""
    asked = asked_by([model])
    request.approval = _strictest(request.approval, asked)
    if asked is Approval.FOUR_EYES and _has_been_in_one_hand(session, request):
        request.approved_at = None


def approve(session: Session, keyring: Keyring, request: ErasureRequest, by: Decider) -> None:
    """The request goes to where its items say."""
    (request,) = lock_requests(session, [request.id])
    if request.state is not RequestState.AWAITING_APPROVAL:
        names = ", ".join(sorted(REQUEST[request.state].next)) or "nothing: it has ended"
        raise IllegalMove(
            f"The request is {request.state} and awaits no approval; it can become {names}."
        )
    submitter = request.submitted_by
    if (
        request.approval is Approval.FOUR_EYES
        and submitter is not None
        and same_holder(session, submitter, by.key)
    ):
        raise FourEyes(
            "A model's policy asks for two persons: who submitted it cannot approve it, nor a key "
            "that the same person may hold, since one key made both or made the other."
        )
    cause = decisions.note_down(session, request, DecisionAction.APPROVE, by)
    request.approved_at = by.now
    completion.settle(session, keyring, [request.id], cause)


def _strictest(*levels: Approval) -> Approval:
    return max(levels, key=_STRICTNESS.index)


def _has_been_in_one_hand(session: Session, request: ErasureRequest) -> bool:
    approver = session.scalar(
        select(RequestDecision.decided_by)
        .where(
            RequestDecision.request_id == request.id,
            RequestDecision.action == DecisionAction.APPROVE,
        )
        .order_by(RequestDecision.id.desc())
        .limit(1)
    )
    if approver is None or request.submitted_by is None:
        return False
    return same_holder(session, request.submitted_by, approver)
