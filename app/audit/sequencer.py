"""Gives committed entries their index and completes the tree over them (RFC 6962).

Level 0 of the tree is `AuditEntry.leaf_hash`; `audit_nodes` begins at level 1.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, insert, or_, select, text
from sqlalchemy.orm import Session

from app.audit import merkle
from app.audit.tables import AuditEntry, AuditNode, PendingEntry

# Any number will do, as long as nothing else in the database locks the same one.
_LOCK = 0x6C6F7475735F6C67
BATCH = 1000


class Head(NamedTuple):
    size: int
    root: bytes


def sequence(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Moves up to `limit` committed entries into the log; returns how many.

    Needs a write session. Two of these never run at once: SQLite's write transaction and, on
    PostgreSQL, an advisory lock held until the commit see to it.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    columns = PendingEntry.__table__.columns
    rows = session.execute(select(*columns).order_by(PendingEntry.id).limit(limit)).mappings().all()
    if not rows:
        return 0
    start = size(session)
    entries = [
        {**{name: row[name] for name in row if name != "id"}, "index": index, "sequenced_at": now}
        for index, row in enumerate(rows, start)
    ]
    tree = merkle.Subtrees.read(start, reader(session))
    nodes = [
        {"level": level, "index": index, "hash": digest}
        for row in rows
        for (level, index), digest in tree.add(row["leaf_hash"])
    ]
    session.execute(insert(AuditEntry), entries)
    if nodes:
        session.execute(insert(AuditNode), nodes)
    # By id, not "up to the last one": a transaction with a lower id may have committed meanwhile.
    session.execute(delete(PendingEntry).where(PendingEntry.id.in_([row["id"] for row in rows])))
    return len(rows)


def anything_pending(session: Session) -> bool:
    return session.scalar(select(PendingEntry.id).limit(1)) is not None


def head(session: Session) -> Head:
    now = size(session)
    return Head(now, merkle.root(now, reader(session)))


def root_at(session: Session, first: int) -> bytes:
    """The root over the `first` entries, all of which must be there."""
    return merkle.root(first, reader(session))


def index_of(session: Session, leaf_hash: bytes) -> int | None:
    """Where the entry with this hash stands, the first time if twice; None while it has no place,
    as also where there is no such entry."""
    found = select(func.min(AuditEntry.index)).where(AuditEntry.leaf_hash == leaf_hash)
    return session.scalar(found)


def size(session: Session) -> int:
    last = session.scalar(select(func.max(AuditEntry.index)))
    return 0 if last is None else last + 1


def reader(session: Session) -> merkle.Read:
    """Reads nodes of the stored tree; KeyError for one that is not there."""

    def read(nodes: Sequence[merkle.Node]) -> list[bytes]:
        found: dict[merkle.Node, bytes] = {}
        leaves = [index for level, index in nodes if level == 0]
        if leaves:
            stored = select(AuditEntry.index, AuditEntry.leaf_hash)
            for index, digest in session.execute(stored.where(AuditEntry.index.in_(leaves))):
                found[0, index] = digest
        higher = [node for node in nodes if node[0] > 0]
        if higher:
            # Not a tuple IN a list: SQLite would read the whole table for it.
            wanted = [
                (AuditNode.level == level) & (AuditNode.index == index) for level, index in higher
            ]
            query = select(AuditNode.level, AuditNode.index, AuditNode.hash).where(or_(*wanted))
            for level, index, digest in session.execute(query):
                found[level, index] = digest
        return [found[node] for node in nodes]

    return read
