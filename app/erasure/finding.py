"""What there is of a person whom a request names: samples by model, and earlier cases."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select
from sqlalchemy.orm import Session

from app.erasure import matching, named_samples, subjects
from app.erasure.states import ItemState
from app.erasure.subjects import Reference
from app.erasure.submission import Submission
from app.erasure.tables import ErasureItem, SuppressionEntry
from app.keyring import Keyring
from app.registry.tables import Model

# Made once: every request asks it, and to make such a statement costs more than to ask it.
_SUPPRESSED = (
    select(SuppressionEntry.request_id)
    .join(ErasureItem, ErasureItem.request_id == SuppressionEntry.request_id)
    .where(
        ErasureItem.state == ItemState.PUBLISHED,
        SuppressionEntry.controller_id == bindparam("controller", type_=Uuid()),
        SuppressionEntry.tag.in_(bindparam("tags", expanding=True)),
        SuppressionEntry.until > bindparam("now"),
    )
    .order_by(SuppressionEntry.id.desc())
    .limit(1)
)


class Findings(NamedTuple):
    """What there is of the person. `earlier` is the closed case that unlearned it, if any.

    Samples that other requests took are this person's too: the item is published as covered by the
    run that took them, and certified with it. Only a closed case of the same person answers for
    them without one.
    """

    matches: Sequence[matching.Match]
    earlier: UUID | None

    @classmethod
    def of(
        cls,
        session: Session,
        controller: UUID,
        models: Sequence[Model],
        references: Sequence[Reference],
        now: datetime,
    ) -> "Findings":
        matches = matching.match(session, models, references)
        return cls(matches, _earlier_case(session, controller, references, now))

    @property
    def to_unlearn(self) -> list[matching.Match]:
        return [m for m in self.matches if m.found.train and not (m.covered and self.earlier)]


def references_of(
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


def _earlier_case(
    session: Session, controller: UUID, references: Sequence[Reference], now: datetime
) -> UUID | None:
    """The closed case that unlearned this person.

    One that is still open does not answer for the new request: it can be reopened, and cancelled
    then. Nor does a closed one that found nothing: its person is suppressed as well, and was never
    unlearned.
    """
    tags = [reference.suppression_tag for reference in references]
    return session.scalar(_SUPPRESSED, {"controller": controller, "tags": tags, "now": now})
