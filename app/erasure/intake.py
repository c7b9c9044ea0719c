"""From a deletion request to an erasure case: look up, store references, schedule the models."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Uuid, bindparam, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure import approving, deadlines, finding, matching, named_samples, subjects
from app.erasure.finding import Findings
from app.erasure.jurisdictions import holidays_of
from app.erasure.statements import Statements
from app.erasure.states import ItemState, Outcome, RequestState
from app.erasure.subjects import Reference
from app.erasure.submission import (
    Submission,
    check_external_id,
    check_wanted,
    submission_time,
)
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    ReasonCode,
    RequestSubject,
)
from app.erasure.transitions import Cause, Event, create_item, move_request
from app.erasure.window import window_of
from app.http.problems import Problem
from app.ids import controller_id, model_id, new_id, request_id
from app.keyring import Keyring
from app.keys.tables import Controller
from app.registry.tables import Model
from app.webhooks import service as callbacks

# Made once: every request asks them, and to make such a statement costs more than to ask it.
_NAMED = select(ErasureRequest).where(
    ErasureRequest.controller_id == bindparam("controller", type_=Uuid()),
    ErasureRequest.external_id == bindparam("external_id"),
)
_JURISDICTION = (
    select(Controller.jurisdiction)
    .where(Controller.id == bindparam("controller", type_=Uuid()))
    .with_for_update(read=True)
)
_SUBJECTS: Any = RequestSubject.__table__


class ExternalIdTaken(Problem):
    status = 409
    code = "external-id-taken"
    title = "The external id belongs to another request"


class Accepted(NamedTuple):
    """A request, whether it is new, and if so its items with the names of their models."""

    request: ErasureRequest
    is_new: bool
    items: Sequence[tuple[ErasureItem, str]] = ()


def submit(
    session: Session,
    keyring: Keyring,
    submission: Submission,
    *,
    identity: UUID | None = None,
    now: datetime,
) -> Accepted:
    """The same external id with the same body is a repeat. `identity` is for a new request."""
    check_external_id(submission)
    jurisdiction = _keep_models_still(session, submission.controller)
    repeated = _repeat(session, submission)
    if repeated is not None:
        return Accepted(repeated, False)
    submitted_at = submission_time(submission, now)
    due = deadlines.due_at(
        submitted_at,
        deadlines.LAWS[submission.regulation],
        holidays=holidays_of(jurisdiction),
    )
    check_wanted(submission.wanted_by, now=now, due_at=due)
    models = matching.models_in_scope(session, submission.controller, submission.models)
    identity = identity or new_id()
    references = finding.references_of(session, keyring, submission, models, identity)
    found = Findings.of(session, submission.controller, models, references, now)
    request = ErasureRequest(
        id=identity,
        controller_id=submission.controller,
        external_id=submission.external_id,
        regulation=submission.regulation,
        legal_ground=submission.legal_ground,
        state=RequestState.RECEIVED,
        submitted_at=submitted_at,
        received_at=now,
        due_at=due,
        wanted_by=submission.wanted_by,
        jurisdiction=jurisdiction,
        remind_at=deadlines.first_reminder(due, now),
        paused=[],
        approval=approving.asked_by(match.model for match in found.to_unlearn),
        body_digest=submission.body_digest,
        model_scope=[model_id(m) for m in submission.models] if submission.models else None,
        submitted_by=submission.submitted_by,
        row_version=1,
        created_at=now,
        updated_at=now,
    )
    if _comes_alone(session, submission):
        items = _store(session, keyring, submission, request, references, found, now)
        return Accepted(request, True, items)
    try:
        with session.begin_nested():
            items = _store(session, keyring, submission, request, references, found, now)
    except IntegrityError:
        # The same external id arrived twice at once: the other call has just committed.
        repeated = _repeat(session, submission)
        if repeated is None:
            raise
        named_samples.unlink(session, [one.subject_ref for one in references])
        return Accepted(repeated, False)
    return Accepted(request, True, items)


def _comes_alone(session: Session, submission: Submission) -> bool:
    """Of two calls with one external id at once the later one waits for the earlier, and finds at
    its first write that the id is taken. On SQLite it has waited for its turn before it looked."""
    return submission.external_id is None or session.get_bind().dialect.name == "sqlite"


def _store(
    session: Session,
    keyring: Keyring,
    submission: Submission,
    request: ErasureRequest,
    references: Sequence[Reference],
    found: Findings,
    now: datetime,
) -> list[tuple[ErasureItem, str]]:
    """All of it is written together, at the end."""
    cause = Cause(Event.SUBMITTED, submission.actor, now)
    items: list[tuple[ErasureItem, str]] = []
    with session.no_autoflush:
        session.add(request)
        if submission.accompany is not None or submission.callback_urls:
            session.flush()  # what is theirs refers to the request
        if submission.accompany is not None:
            submission.accompany(session, request)
        if submission.callback_urls:
            callbacks.name_callbacks(
                session, submission.controller, request.id, submission.callback_urls, now=now
            )
            session.flush()
        log.append(session, _received(request, submission, len(found.to_unlearn)), now=now)
        if found.to_unlearn:
            items = [
                (add_item(session, request, match.model, match.found, cause), match.model.name)
                for match in found.to_unlearn
            ]
            waits = request.is_unapproved
            to = RequestState.AWAITING_APPROVAL if waits else RequestState.SCHEDULED
            move_request(session, request, to, cause)
        else:
            _close_without_work(session, request, found, cause)
        session.flush()
        _store_references(session, request, references)
    if not items:
        Statements(session, keyring).write(request, now=now)
    return items


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
    session: Session, request: ErasureRequest, model: Model, found: subjects.Found, cause: Cause
) -> ErasureItem:
    """A scheduled item; the caller settles or moves the request."""
    item = ErasureItem(
        id=new_id(),
        request_id=request.id,
        model_id=model.id,
        state=ItemState.SCHEDULED,
        forget_count=found.train,
        held_out_count=found.held_out,
        accepted_at=cause.now,
    )
    create_item(session, item, cause, controller=request.controller_id)
    return item


def _repeat(session: Session, submission: Submission) -> ErasureRequest | None:
    if submission.external_id is None:
        return None
    named = {"controller": submission.controller, "external_id": submission.external_id}
    earlier = session.scalar(_NAMED, named)
    if earlier is not None and not submission.is_repeat_of(earlier):
        raise ExternalIdTaken("A request with this external id exists and its body differs.")
    return earlier


def _keep_models_still(session: Session, controller: UUID) -> str | None:
    """Until this request commits, no model or version of the controller becomes ready: one that
    did would neither be seen here nor see this request. Requests do not wait for each other.
    Gives the controller's jurisdiction."""
    return session.scalar(_JURISDICTION, {"controller": controller})


def _store_references(
    session: Session, request: ErasureRequest, references: Sequence[Reference]
) -> None:
    session.execute(
        insert(_SUBJECTS),
        [
            {
                "request_id": request.id,
                "position": reference.position,
                "key_id": reference.key_id,
                "identity_type": reference.identity_type,
                "subject_ref": reference.subject_ref,
                "suppression_tag": reference.suppression_tag,
            }
            for reference in references
        ],
    )


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
