"""Writing new requests down: the rows of several in the statements of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure import approving, deadlines
from app.erasure.counting import Found
from app.erasure.finding import Findings
from app.erasure.statements import Statements
from app.erasure.states import ItemState, Outcome, RequestState
from app.erasure.subjects import Reference
from app.erasure.submission import Submission
from app.erasure.tables import ErasureItem, ErasureRequest, ReasonCode, RequestSubject
from app.erasure.transitions import Cause, Event, create_item, move_request
from app.erasure.window import window_of
from app.ids import controller_id, model_id, new_id, request_id
from app.keyring import Keyring
from app.registry.tables import Model
from app.webhooks import service as callbacks
from app.webhooks import telling

_SUBJECTS: Any = RequestSubject.__table__


class Accepted(NamedTuple):
    """A request, whether it is new, and if so its items with the names of their models."""

    request: ErasureRequest
    is_new: bool
    items: Sequence[tuple[ErasureItem, str]] = ()


class Wanted(NamedTuple):
    """`identity` is for a new request."""

    submission: Submission
    identity: UUID
    now: datetime


@dataclass
class Case:
    """Of a new request, on its way into the database."""

    wanted: Wanted
    models: Sequence[Model]
    references: list[Reference]
    receivers: Sequence[callbacks.Named]
    submitted_at: datetime
    due_at: datetime


New = tuple[Case, Findings]


def store(
    session: Session,
    keyring: Keyring,
    controller: UUID,
    jurisdiction: str | None,
    new: Sequence[New],
) -> list[Accepted]:
    """All of it is written together, at the end."""
    with (
        session.no_autoflush,
        log.together(session),
        telling.of_new_requests(session, controller),
    ):
        stored = [
            _store_one(session, _request(case, jurisdiction, found), case, found)
            for case, found in new
        ]
        session.flush()
        session.execute(
            insert(_SUBJECTS),
            [
                row
                for (case, _), accepted in zip(new, stored, strict=True)
                for row in _links(accepted.request, case.references)
            ],
        )
    statements = Statements(session, keyring)
    for (case, _), accepted in zip(new, stored, strict=True):
        if not accepted.items:
            statements.write(accepted.request, now=case.wanted.now)
    return stored


def _request(case: Case, jurisdiction: str | None, found: Findings) -> ErasureRequest:
    submission, identity, now = case.wanted
    return ErasureRequest(
        id=identity,
        controller_id=submission.controller,
        external_id=submission.external_id,
        regulation=submission.regulation,
        legal_ground=submission.legal_ground,
        state=RequestState.RECEIVED,
        submitted_at=case.submitted_at,
        received_at=now,
        due_at=case.due_at,
        wanted_by=submission.wanted_by,
        jurisdiction=jurisdiction,
        remind_at=deadlines.first_reminder(case.due_at, now),
        paused=[],
        approval=approving.asked_by(match.model for match in found.to_unlearn),
        body_digest=submission.body_digest,
        model_scope=[model_id(m) for m in submission.models] if submission.models else None,
        submitted_by=submission.submitted_by,
        row_version=1,
        created_at=now,
        updated_at=now,
    )


def _store_one(session: Session, request: ErasureRequest, case: Case, found: Findings) -> Accepted:
    submission, _, now = case.wanted
    cause = Cause(Event.SUBMITTED, submission.actor, now)
    session.add(request)
    if submission.accompany is not None or case.receivers:
        session.flush()  # what is theirs refers to the request
    if submission.accompany is not None:
        submission.accompany(session, request)
    if case.receivers:
        callbacks.name_callbacks(session, request.id, case.receivers, now=now)
    log.append(session, _received(request, submission, len(found.to_unlearn)), now=now)
    if not found.to_unlearn:
        _close_without_work(session, request, found, cause)
        return Accepted(request, True)
    items = [
        (add_item(session, request, match.model, match.found, cause), match.model.name)
        for match in found.to_unlearn
    ]
    waits = request.is_unapproved
    to = RequestState.AWAITING_APPROVAL if waits else RequestState.SCHEDULED
    move_request(session, request, to, cause)
    return Accepted(request, True, items)


def _received(request: ErasureRequest, submission: Submission, items: int) -> kinds.RequestReceived:
    return kinds.RequestReceived(
        controller=controller_id(request.controller_id),
        request=request_id(request.id),
        regulation=request.regulation,
        legal_ground=request.legal_ground,
        submitted_at=request.submitted_at,
        due_at=request.due_at,
        jurisdiction=request.jurisdiction,
        body_digest=request.body_digest.hex(),
        identity_count=len(submission.identities),
        item_count=items,
        actor=submission.actor,
    )


def add_item(
    session: Session, request: ErasureRequest, model: Model, found: Found, cause: Cause
) -> ErasureItem:
    """A scheduled item; the caller settles or moves the request."""
    # `relapses` has a default on both sides. If it is left to them, SQLAlchemy writes the items of
    # a batch as one long statement, made anew each time.
    item = ErasureItem(
        id=new_id(),
        request_id=request.id,
        model_id=model.id,
        state=ItemState.SCHEDULED,
        forget_count=found.train,
        held_out_count=found.held_out,
        accepted_at=cause.now,
        relapses=0,
    )
    create_item(session, item, cause, controller=request.controller_id)
    return item


def _links(request: ErasureRequest, references: Sequence[Reference]) -> list[dict[str, Any]]:
    return [
        {
            "request_id": request.id,
            "position": reference.position,
            "key_id": reference.key_id,
            "identity_type": reference.identity_type,
            "subject_ref": reference.subject_ref,
            "suppression_tag": reference.suppression_tag,
        }
        for reference in references
    ]


def _close_without_work(
    session: Session, request: ErasureRequest, found: Findings, cause: Cause
) -> None:
    """Nothing to unlearn: completed at once, with the reason."""
    if found.earlier is not None:
        reason = ReasonCode.PREVIOUSLY_UNLEARNED
    elif any(match.found.held_out for match in found.matches):
        reason = ReasonCode.HELD_OUT_ONLY
    else:
        reason = ReasonCode.NO_SAMPLES
    move_request(
        session,
        request,
        RequestState.COMPLETED,
        cause,
        reason_code=reason,
        outcome=Outcome.NO_MATCH,
        earlier_request_id=found.earlier,
        completed_at=cause.now,
        next_closing_at=cause.now + window_of(match.model.policy for match in found.matches),
    )
