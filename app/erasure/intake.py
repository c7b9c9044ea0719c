"""From a deletion request to an erasure case: look up, store references, schedule the models."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure import approving, deadlines, matching, named_samples, subjects
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
    SuppressionEntry,
)
from app.erasure.transitions import Cause, Event, create_item, move_request
from app.erasure.window import window_of
from app.http.problems import Problem
from app.ids import controller_id, model_id, new_id, request_id
from app.keyring import Keyring
from app.keys.tables import Controller
from app.registry.tables import Model
from app.webhooks import service as callbacks


class ExternalIdTaken(Problem):
    status = 409
    code = "external-id-taken"
    title = "The external id belongs to another request"


def submit(
    session: Session, keyring: Keyring, submission: Submission, *, now: datetime
) -> tuple[ErasureRequest, bool]:
    """The request and whether it is new. The same external id with the same body is a repeat."""
    check_external_id(submission)
    jurisdiction = _keep_models_still(session, submission.controller)
    repeated = _repeat(session, submission)
    if repeated is not None:
        return repeated, False
    submitted_at = submission_time(submission, now)
    models = matching.models_in_scope(session, submission.controller, submission.models)
    identity = new_id()
    references = _references(session, keyring, submission, models, identity)
    matches = matching.match(session, models, references)
    earlier = _earlier_case(session, submission.controller, references, now)
    # Samples that other requests took are this person's too: the item is published as covered by
    # the run that took them, and certified with it. Only a closed case of the same person answers
    # for them without one.
    to_unlearn = [m for m in matches if m.found.train and not (m.covered and earlier)]
    due = deadlines.due_at(
        submitted_at,
        deadlines.LAWS[submission.regulation],
        holidays=holidays_of(jurisdiction),
    )
    check_wanted(submission.wanted_by, now=now, due_at=due)
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
        approval=approving.asked_by(match.model for match in to_unlearn),
        body_digest=submission.body_digest,
        model_scope=[model_id(m) for m in submission.models] if submission.models else None,
        submitted_by=submission.submitted_by,
        created_at=now,
        updated_at=now,
    )
    try:
        with session.begin_nested():
            session.add(request)
    except IntegrityError:
        # The same external id arrived twice at once: the other call has just committed.
        repeated = _repeat(session, submission)
        if repeated is None:
            raise
        named_samples.unlink(session, [one.subject_ref for one in references])
        return repeated, False
    _store_references(session, request, references)
    if submission.accompany is not None:
        submission.accompany(session, request)
    if submission.callback_urls:
        callbacks.name_callbacks(
            session, submission.controller, request.id, submission.callback_urls, now=now
        )
    log.append(
        session,
        kinds.RequestReceived(
            controller=controller_id(request.controller_id),
            request=request_id(request.id),
            regulation=request.regulation,
            legal_ground=request.legal_ground,
            submitted_at=request.submitted_at,
            due_at=request.due_at,
            jurisdiction=request.jurisdiction,
            body_digest=request.body_digest.hex(),
            identity_count=len(submission.identities),
            item_count=len(to_unlearn),
            actor=submission.actor,
        ),
        now=now,
    )
    cause = Cause(Event.SUBMITTED, submission.actor, now)
    if to_unlearn:
        for match in to_unlearn:
            add_item(session, request, match.model, match.found, cause)
        waits = RequestState.AWAITING_APPROVAL if request.is_unapproved else RequestState.SCHEDULED
        move_request(session, request, waits, cause)
    else:
        _close_without_work(session, request, matches, earlier, cause)
        Statements(session, keyring).write(request, now=now)
    return request, True


def add_item(
    session: Session, request: ErasureRequest, model: Model, found: subjects.Found, cause: Cause
) -> ErasureItem:
    """A scheduled item; the caller settles or moves the request."""
    item = ErasureItem(
        request_id=request.id,
        model_id=model.id,
        state=ItemState.SCHEDULED,
        forget_count=found.train,
        held_out_count=found.held_out,
        accepted_at=cause.now,
    )
    create_item(session, item, cause, controller=request.controller_id)
    return item


def _references(
    session: Session,
    keyring: Keyring,
    submission: Submission,
    models: Sequence[Model],
    request: UUID,
) -> list[Reference]:
    found = subjects.reference(session, keyring, submission.controller, submission.identities)
    if submission.sample_ids:
        position = len(submission.identities)
        found.append(
            named_samples.link(
                session,
                keyring,
                models,
                submission.sample_ids,
                request=request,
                position=position,
            )
        )
    return found


def _repeat(session: Session, submission: Submission) -> ErasureRequest | None:
    if submission.external_id is None:
        return None
    earlier = session.scalar(
        select(ErasureRequest).where(
            ErasureRequest.controller_id == submission.controller,
            ErasureRequest.external_id == submission.external_id,
        )
    )
    if earlier is not None and not submission.is_repeat_of(earlier):
        raise ExternalIdTaken("A request with this external id exists and its body differs.")
    return earlier


def _keep_models_still(session: Session, controller: UUID) -> str | None:
    """Until this request commits, no model or version of the controller becomes ready: one that
    did would neither be seen here nor see this request. Requests do not wait for each other.
    Gives the controller's jurisdiction."""
    return session.scalar(
        select(Controller.jurisdiction)
        .where(Controller.id == controller)
        .with_for_update(read=True)
    )


def _store_references(
    session: Session, request: ErasureRequest, references: Sequence[Reference]
) -> None:
    session.add_all(
        RequestSubject(
            request_id=request.id,
            position=reference.position,
            key_id=reference.key_id,
            identity_type=reference.identity_type,
            subject_ref=reference.subject_ref,
            suppression_tag=reference.suppression_tag,
        )
        for reference in references
    )
    session.flush()


def _close_without_work(
    session: Session,
    request: ErasureRequest,
    matches: Sequence[matching.Match],
    earlier: UUID | None,
    cause: Cause,
) -> None:
    """Nothing to unlearn: completed at once, with the reason."""
    if earlier is not None:
        reason = ReasonCode.PREVIOUSLY_UNLEARNED
    elif any(match.found.held_out for match in matches):
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
        earlier_request_id=earlier,
        completed_at=cause.now,
        next_closing_at=cause.now + window_of(match.model.policy for match in matches),
    )


def _earlier_case(
    session: Session, controller: UUID, references: Sequence[Reference], now: datetime
) -> UUID | None:
    """The closed case that unlearned this person.

    One that is still open does not answer for the new request: it can be reopened, and cancelled
    then. Nor does a closed one that found nothing: its person is suppressed as well, and was never
    unlearned.
    """
    tags = [reference.suppression_tag for reference in references]
    return session.scalar(
        select(SuppressionEntry.request_id)
        .join(ErasureItem, ErasureItem.request_id == SuppressionEntry.request_id)
        .where(
            ErasureItem.state == ItemState.PUBLISHED,
            SuppressionEntry.controller_id == controller,
            SuppressionEntry.tag.in_(tags),
            SuppressionEntry.until > now,
        )
        .order_by(SuppressionEntry.id.desc())
        .limit(1)
    )
