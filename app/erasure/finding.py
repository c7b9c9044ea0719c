"""What there is of a person whom a request names: samples by model, and earlier cases."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select
from sqlalchemy.orm import Session

from app.erasure import matching
from app.erasure.states import ItemState
from app.erasure.subjects import Reference
from app.erasure.tables import ErasureItem, SuppressionEntry
from app.registry.tables import Model

# Made once: every request asks it, and to make such a statement costs more than to ask it. The
# newest of each tag: a person may have had very many cases.
_SUPPRESSED = (
    select(SuppressionEntry.tag, func.max(SuppressionEntry.id))
    .join(ErasureItem, ErasureItem.request_id == SuppressionEntry.request_id)
    .where(
        ErasureItem.state == ItemState.PUBLISHED,
        SuppressionEntry.controller_id == bindparam("controller", type_=Uuid()),
        SuppressionEntry.tag.in_(bindparam("tags", expanding=True)),
        SuppressionEntry.until > bindparam("now"),
    )
    .group_by(SuppressionEntry.tag)
)


class Findings(NamedTuple):
    """What there is of the person. `earlier` is the closed case that unlearned it, if any.

    Samples that other requests took are this person's too: the item is published as covered by the
    run that took them, and certified with it. Only a closed case of the same person answers for
    them without one.
    """

    matches: Sequence[matching.Match]
    earlier: UUID | None

    @property
    def to_unlearn(self) -> list[matching.Match]:
        return [m for m in self.matches if m.found.train and not (m.covered and self.earlier)]


class Asked(NamedTuple):
    """Of one request: whom it concerns, and on which models."""

    models: Sequence[Model]
    references: Sequence[Reference]


def find(
    session: Session, controller: UUID, asked: Sequence[Asked], *, now: datetime
) -> list[Findings]:
    """For each of these requests, by as many statements for many as for one."""
    matches = matching.match(session, asked)
    earlier = _earlier_cases(session, controller, [one.references for one in asked], now)
    return [Findings(found, case) for found, case in zip(matches, earlier, strict=True)]


def _earlier_cases(
    session: Session,
    controller: UUID,
    persons: Sequence[Sequence[Reference]],
    now: datetime,
) -> list[UUID | None]:
    """The closed case that unlearned each of these persons.

    One that is still open does not answer for the new request: it can be reopened, and cancelled
    then. Nor does a closed one that found nothing: its person is suppressed as well, and was never
    unlearned.
    """
    tags = {reference.suppression_tag for person in persons for reference in person}
    if not tags:
        return [None] * len(persons)
    asked = {"controller": controller, "tags": list(tags), "now": now}
    newest = {tag: entry for tag, entry in session.execute(_SUPPRESSED, asked)}
    if not newest:
        return [None] * len(persons)
    entries = select(SuppressionEntry.id, SuppressionEntry.request_id).where(
        SuppressionEntry.id.in_(newest.values())
    )
    case_of = {entry: case for entry, case in session.execute(entries)}
    own = [{newest.get(one.suppression_tag, 0) for one in person} for person in persons]
    return [case_of.get(max(entries, default=0)) for entries in own]
