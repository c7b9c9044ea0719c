"""Reading the log: one controller's entries, in the order in which they stand."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.audit.tables import AuditEntry, PendingEntry


class Place(NamedTuple):
    """What was read last: `entry` by its index, `pending` by its id while it had none."""

    entry: int = -1
    pending: int = 0


def entries_after(
    session: Session, controller: UUID, place: Place, *, request: UUID | None, limit: int
) -> list[AuditEntry | PendingEntry]:
    """Sequenced entries first, then those that wait. One that was read while it waited is read
    again, with its index, once it is sequenced.

    The waiting ones are looked up first: an entry that is sequenced in between is then found twice
    at worst, and never missed.
    """
    waiting = select(PendingEntry).where(
        PendingEntry.id > place.pending, *_owned(PendingEntry, controller, request)
    )
    placed = select(AuditEntry).where(
        AuditEntry.index > place.entry, *_owned(AuditEntry, controller, request)
    )
    last = session.scalars(waiting.order_by(PendingEntry.id).limit(limit)).all()
    found: list[AuditEntry | PendingEntry] = []
    found.extend(session.scalars(placed.order_by(AuditEntry.index).limit(limit)))
    found.extend(last)
    return found[:limit]


def entries_before(
    session: Session, controller: UUID, index: int | None, *, request: UUID | None, limit: int
) -> Sequence[AuditEntry]:
    """Sequenced entries only, the last of the log first; `index` is that of the last one read."""
    found = select(AuditEntry).where(*_owned(AuditEntry, controller, request))
    if index is not None:
        found = found.where(AuditEntry.index < index)
    return session.scalars(found.order_by(AuditEntry.index.desc()).limit(limit)).all()


def place_of(entries: Sequence[AuditEntry | PendingEntry], before: Place) -> Place:
    """Where to go on after these entries."""
    index, pending = before
    for entry in entries:
        if isinstance(entry, AuditEntry):
            index = entry.index
        else:
            pending = entry.id
    return Place(index, pending)


def count_pending(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(PendingEntry)) or 0


def is_pending(session: Session, leaf_hash: bytes) -> bool:
    waits = select(PendingEntry.id).where(PendingEntry.leaf_hash == leaf_hash).limit(1)
    return session.scalar(waits) is not None


def leaf_hash_at(session: Session, index: int) -> bytes:
    """Of a sequenced entry."""
    return session.scalars(select(AuditEntry.leaf_hash).where(AuditEntry.index == index)).one()


def _owned(
    table: type[AuditEntry] | type[PendingEntry], controller: UUID, request: UUID | None
) -> list[ColumnElement[bool]]:
    conditions = [table.controller_id == controller]
    if request is not None:
        conditions.append(table.request_id == request)
    return conditions
