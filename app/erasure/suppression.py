"""Persons whose data must not come back unnoticed. Of each, only keyed tags are known.

A tag is known while a request of the person stands, and from the closing of the case until a date.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, delete, func, select, union
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure import subjects
from app.erasure.states import WITHDRAWN
from app.erasure.subjects import Identity
from app.erasure.tables import ErasureRequest, RequestSubject, SuppressionEntry
from app.http.problems import NotFound
from app.ids import controller_id, request_id
from app.keyring import Keyring

# So many at most in one transaction.
AT_ONCE = 5_000


class NotSuppressed(NotFound):
    code = "not-suppressed"
    title = "Nobody is suppressed by this case"


@dataclass(frozen=True)
class Suppression:
    """Of one closed case: `until` is the end of its last entry."""

    request: UUID
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Known:
    """What is known of a person: the cases that suppress, and those whose links are not cut."""

    suppressions: Sequence[Suppression]
    requests: Sequence[UUID]


def tags(session: Session, controller: UUID, *, now: datetime) -> frozenset[bytes]:
    """Of everybody whose data counts as suppressed if it is registered now. One statement, so that
    a case which closes meanwhile is found on one side or the other."""
    closed = select(SuppressionEntry.tag).where(
        SuppressionEntry.controller_id == controller, SuppressionEntry.until > now
    )
    standing = (
        select(RequestSubject.suppression_tag)
        .join(ErasureRequest, ErasureRequest.id == RequestSubject.request_id)
        .where(ErasureRequest.controller_id == controller)
        .where(ErasureRequest.state.not_in(WITHDRAWN))
    )
    return frozenset(session.scalars(union(closed, standing)))


def by_case(controller: UUID, *, now: datetime) -> Select[UUID, datetime, datetime]:
    """(case, since, until) of every suppression that has not run out."""
    return (
        select(
            SuppressionEntry.request_id,
            func.min(SuppressionEntry.created_at),
            func.max(SuppressionEntry.until),
        )
        .where(SuppressionEntry.controller_id == controller, SuppressionEntry.until > now)
        .group_by(SuppressionEntry.request_id)
        .order_by(SuppressionEntry.request_id.desc())
    )


def page(
    session: Session, controller: UUID, *, before: UUID | None, limit: int, now: datetime
) -> list[Suppression]:
    """Newest case first."""
    query = by_case(controller, now=now)
    if before is not None:
        query = query.where(SuppressionEntry.request_id < before)
    return _suppressions(session, query.limit(limit))


def search(
    session: Session,
    keyring: Keyring,
    controller: UUID,
    identities: Sequence[Identity],
    *,
    now: datetime,
) -> Known:
    """Stores nothing, and needs no dataset that is indexed by the identities' types."""
    wanted = [
        keyring.suppression_tag(one.identity_type, subjects.digest_of(position, one))
        for position, one in enumerate(identities)
    ]
    suppressed = by_case(controller, now=now).where(SuppressionEntry.tag.in_(wanted))
    linked = (
        select(RequestSubject.request_id)
        .distinct()
        .join(ErasureRequest, ErasureRequest.id == RequestSubject.request_id)
        .where(ErasureRequest.controller_id == controller)
        .where(RequestSubject.suppression_tag.in_(wanted))
        .order_by(RequestSubject.request_id.desc())
    )
    return Known(
        _suppressions(session, suppressed),
        session.scalars(linked).all(),
    )


def end(session: Session, controller: UUID, case: UUID, *, actor: str, now: datetime) -> int:
    """Nobody is suppressed by this case any more, nor the same identities by another case: one who
    comes back of his own will must not be kept out by an earlier one. What other identities an
    earlier case had stays, since two persons may share an address. Returns how many entries went.
    """
    of_person = select(SuppressionEntry.tag).where(
        SuppressionEntry.controller_id == controller,
        SuppressionEntry.request_id == case,
        SuppressionEntry.until > now,
    )
    known = session.scalars(of_person).all()
    if not known:
        raise NotSuppressed("There is no such case, it is not yours, or its suppression is over.")
    entries = session.scalars(
        select(SuppressionEntry.id)
        .where(SuppressionEntry.controller_id == controller, SuppressionEntry.tag.in_(known))
        .order_by(SuppressionEntry.id)
        .with_for_update()
    ).all()
    if not entries:
        raise NotSuppressed("Somebody has just ended it.")
    session.execute(delete(SuppressionEntry).where(SuppressionEntry.id.in_(entries)))
    log.append(
        session,
        kinds.SuppressionEnded(
            controller=controller_id(controller),
            request=request_id(case),
            entry_count=len(entries),
            actor=actor,
        ),
        now=now,
    )
    return len(entries)


def expired(session: Session, *, now: datetime) -> bool:
    over = select(SuppressionEntry.id).where(SuppressionEntry.until <= now)
    return session.scalar(over.limit(1)) is not None


def expire(session: Session, *, now: datetime) -> int:
    """Removes entries whose time is over; returns how many, AT_ONCE at most."""
    over = session.execute(
        select(SuppressionEntry.id, SuppressionEntry.controller_id)
        .where(SuppressionEntry.until <= now)
        .order_by(SuppressionEntry.id)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    session.execute(
        delete(SuppressionEntry).where(SuppressionEntry.id.in_([identity for identity, _ in over]))
    )
    for controller, count in sorted(Counter(owner for _, owner in over).items()):
        log.append(
            session,
            kinds.SuppressionExpired(controller=controller_id(controller), entry_count=count),
            now=now,
        )
    return len(over)


def _suppressions(session: Session, query: Select[UUID, datetime, datetime]) -> list[Suppression]:
    return [Suppression(request, since, until) for request, since, until in session.execute(query)]
