"""From a deletion request to an erasure case: look up, store references, schedule the models."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.erasure import deadlines, finding, matching, named_samples, storing, subjects
from app.erasure.finding import Asked
from app.erasure.jurisdictions import holidays_of
from app.erasure.storing import Accepted, Case, New, Wanted
from app.erasure.submission import (
    Submission,
    check_external_id,
    check_wanted,
    submission_time,
)
from app.erasure.tables import ErasureRequest
from app.http.problems import Problem
from app.ids import new_id
from app.keyring import Keyring
from app.keys.tables import Controller
from app.registry.tables import Model
from app.webhooks import service as callbacks

# Made once: every request asks them, and to make such a statement costs more than to ask it.
_NAMED = select(ErasureRequest).where(
    ErasureRequest.controller_id == bindparam("controller", type_=Uuid()),
    ErasureRequest.external_id.in_(bindparam("external_ids", expanding=True)),
)
_JURISDICTION = (
    select(Controller.jurisdiction)
    .where(Controller.id == bindparam("controller", type_=Uuid()))
    .with_for_update(read=True)
)


class ExternalIdTaken(Problem):
    status = 409
    code = "external-id-taken"
    title = "The external id belongs to another request"


def submit(
    session: Session,
    keyring: Keyring,
    submission: Submission,
    *,
    identity: UUID | None = None,
    now: datetime,
) -> Accepted:
    """The same external id with the same body is a repeat. `identity` is for a new request."""
    wanted = Wanted(submission, identity or new_id(), now)
    (answer,) = submit_all(session, keyring, submission.controller, [wanted])
    if isinstance(answer, Problem):
        raise answer
    return answer


def submit_all(
    session: Session, keyring: Keyring, controller: UUID, wanted: Sequence[Wanted]
) -> list[Accepted | Problem]:
    """Several at once, of one controller, by about as many statements as one of them takes. What is
    wrong with one is its answer, and concerns no other.

    If there are several they name no samples, bring nothing that accompanies them, and no two have
    the same external id. Then IntegrityError means that another call has just taken one of these
    ids, and nothing is stored: to be repeated one by one.
    """
    assert len(wanted) == 1 or not any(
        one.submission.sample_ids or one.submission.accompany for one in wanted
    )
    jurisdiction = _keep_models_still(session, controller)
    answers: list[Accepted | Problem | None] = _repeats(session, controller, wanted)
    cases: dict[int, Case] = {}
    desk: _Desk | None = None
    for place, one in enumerate(wanted):
        if answers[place] is not None:
            continue
        try:
            desk = desk or _Desk.open(session, keyring, controller, wanted, jurisdiction)
            cases[place] = desk.take(one)
        except Problem as problem:
            answers[place] = problem
    if cases:
        found = finding.find(
            session,
            controller,
            [Asked(case.models, case.references) for case in cases.values()],
            now=max(case.wanted.now for case in cases.values()),
        )
        new = list(zip(cases.values(), found, strict=True))
        for place, stored in zip(
            cases, _stored(session, keyring, controller, jurisdiction, new), strict=True
        ):
            answers[place] = stored
    return [answer for answer in answers if answer is not None]


@dataclass(frozen=True)
class _Desk:
    """What is the same for all requests that one transaction takes in."""

    session: Session
    keyring: Keyring
    models: Sequence[Model]
    indexed: subjects.Indexed
    holidays: Container[date]

    @classmethod
    def open(
        cls,
        session: Session,
        keyring: Keyring,
        controller: UUID,
        wanted: Sequence[Wanted],
        jurisdiction: str | None,
    ) -> "_Desk":
        chosen = [one.submission.models for one in wanted]
        every = not all(chosen)
        among = None if every else {model for models in chosen for model in models or ()}
        return cls(
            session,
            keyring,
            matching.ready_models(session, controller, among),
            subjects.Indexed.by(session, keyring, controller),
            holidays_of(jurisdiction),
        )

    def take(self, wanted: Wanted) -> Case:
        """What can be wrong with a request is seen here, before anything of it is stored."""
        submission, identity, now = wanted
        submitted_at = submission_time(submission, now)
        law = deadlines.LAWS[submission.regulation]
        due = deadlines.due_at(submitted_at, law, holidays=self.holidays)
        check_wanted(submission.wanted_by, now=now, due_at=due)
        models = matching.in_scope(self.models, submission.models)
        references = self.indexed.references(self.keyring, submission.identities)
        if submission.sample_ids:
            references.append(
                named_samples.link(
                    self.session,
                    self.keyring,
                    models,
                    submission.sample_ids,
                    request=identity,
                    position=len(submission.identities),
                )
            )
        receivers = (
            callbacks.named(self.session, submission.controller, submission.callback_urls)
            if submission.callback_urls
            else ()
        )
        return Case(wanted, models, references, receivers, submitted_at, due)


def _repeats(
    session: Session, controller: UUID, wanted: Sequence[Wanted]
) -> list[Accepted | Problem | None]:
    """Of each that is none, None."""
    names = [one.submission.external_id for one in wanted if one.submission.external_id]
    asked = {"controller": controller, "external_ids": names}
    earlier = {row.external_id: row for row in session.scalars(_NAMED, asked)} if names else {}

    def answer(submission: Submission) -> Accepted | Problem | None:
        try:
            check_external_id(submission)
        except Problem as problem:
            return problem
        request = earlier.get(submission.external_id)
        if request is None or submission.external_id is None:
            return None
        if submission.is_repeat_of(request):
            return Accepted(request, False)
        return ExternalIdTaken("A request with this external id exists and its body differs.")

    return [answer(one.submission) for one in wanted]


def _stored(
    session: Session,
    keyring: Keyring,
    controller: UUID,
    jurisdiction: str | None,
    new: Sequence[New],
) -> Sequence[Accepted | Problem]:
    def store() -> list[Accepted]:
        return storing.store(session, keyring, controller, jurisdiction, new)

    if len(new) > 1 or _comes_alone(session, new[0][0].wanted.submission):
        return store()
    try:
        with session.begin_nested():
            return store()
    except IntegrityError:
        # The same external id arrived twice at once: the other call has just committed.
        (repeated,) = _repeats(session, controller, [new[0][0].wanted])
        if repeated is None:
            raise
        if not isinstance(repeated, Problem):
            named_samples.unlink(session, [one.subject_ref for one in new[0][0].references])
        return [repeated]


def _comes_alone(session: Session, submission: Submission) -> bool:
    """Of two calls with one external id at once the later one waits for the earlier, and finds at
    its first write that the id is taken. On SQLite it has waited for its turn before it looked."""
    return submission.external_id is None or session.get_bind().dialect.name == "sqlite"


def _keep_models_still(session: Session, controller: UUID) -> str | None:
    """Until this request commits, no model or version of the controller becomes ready: one that
    did would neither be seen here nor see this request. Requests do not wait for each other.
    Gives the controller's jurisdiction."""
    return session.scalar(_JURISDICTION, {"controller": controller})
