"""Recomputes the whole log from the stored bytes and names the first thing that does not fit.

Reads in batches and keeps only the roots of the complete subtrees so far, so memory does not grow
with the log. What it cannot see is a log that was cut short or written anew as a whole: only a tree
head that was kept elsewhere shows that.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Integer, Row, cast, func, literal, or_, select
from sqlalchemy.orm import Session

from app.audit.merkle import Node, Subtrees, leaf_hash
from app.audit.tables import AuditEntry, AuditNode, PendingEntry
from app.canonical import instant_text
from app.ids import controller_id, request_id, run_id

BATCH = 1000
_SEARCHED = ("kind", "body", "leaf_hash", "controller_id", "request_id", "run_id", "created_at")


@dataclass(frozen=True)
class CheckResult:
    """`entries` were found good, and `root_hex` is the root over them. `pending` are committed but
    not sequenced yet."""

    entries: int
    pending: int
    root_hex: str
    first_fault: str | None

    @property
    def ok(self) -> bool:
        return self.first_fault is None


class _Fault(Exception):
    pass


def check(session: Session, *, batch: int = BATCH) -> CheckResult:
    tree = Subtrees(0, [])
    fault: str | None = None
    try:
        for rows in _in_order(session, AuditEntry, AuditEntry.index, "entry", batch):
            _check_entries(tree, rows, _stored_nodes(session, tree.size, len(rows)))
        _check_no_other_node(session)
        for rows in _in_order(session, PendingEntry, PendingEntry.id, "pending entry", batch):
            for row in rows:
                _check_row(f"pending entry {row.place}", row)
    except _Fault as found:
        fault = str(found)
    pending = session.scalar(select(func.count()).select_from(PendingEntry)) or 0
    return CheckResult(tree.size, pending, tree.root().hex(), fault)


def _in_order(
    session: Session, table: type[Any], place: Any, name: str, batch: int
) -> Iterator[Sequence[Row[Any]]]:
    """The rows in batches. A batch that cannot be read is read again one by one, to name the
    row."""
    # Not called `index`: a row has a method of that name.
    columns = [place.label("place"), *(getattr(table, column) for column in _SEARCHED)]
    query = select(*columns).order_by(place)
    last: int | None = None
    while True:
        following = query if last is None else query.where(place > last)
        try:
            rows = session.execute(following.limit(batch)).all()
        except (ValueError, TypeError):
            if batch == 1:
                after = "the first" if last is None else f"the one after {last}"
                raise _Fault(f"{name}: {after} has a column that cannot be read") from None
            batch = 1
            continue
        if not rows:
            return
        yield rows
        last = rows[-1].place


def _check_entries(tree: Subtrees, rows: Sequence[Row[Any]], stored: dict[Node, bytes]) -> None:
    for row in rows:
        if row.place != tree.size:
            raise _Fault(f"entry {tree.size}: missing, the next index is {row.place}")
        _check_row(f"entry {row.place}", row)
        for (level, index), digest in tree.add(row.leaf_hash):
            name = f"node {index} of level {level}"
            if (level, index) not in stored:
                raise _Fault(f"{name}: missing")
            if stored[level, index] != digest:
                raise _Fault(f"{name}: is not the hash of the entries below it")


def _check_row(name: str, row: Row[Any]) -> None:
    """The row's hash and searchable columns must repeat what its bytes say."""
    # SQLite gives back a text where somebody stored one.
    if not isinstance(row.body, bytes) or leaf_hash(row.body) != row.leaf_hash:
        raise _Fault(f"{name}: its bytes do not have the stored hash")
    try:
        said = _columns_said(row.body)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _Fault(f"{name}: its bytes are not an entry") from None
    for column, stored in _columns_stored(row).items():
        if stored != said[column]:
            raise _Fault(f"{name}: column {column} does not agree with its bytes")


def _columns_said(body: bytes) -> dict[str, str | None]:
    """Read as plain JSON: what was written under an older list of kinds stays checkable."""
    entry = json.loads(body)
    facts = entry["facts"]
    return {
        "kind": entry["kind"],
        "created_at": entry["time"],
        "controller_id": facts.get("controller"),
        "request_id": facts.get("request"),
        "run_id": facts.get("run"),
    }


def _columns_stored(row: Row[Any]) -> dict[str, str | None]:
    return {
        "kind": row.kind,
        "created_at": instant_text(row.created_at),
        "controller_id": controller_id(row.controller_id) if row.controller_id else None,
        "request_id": request_id(row.request_id) if row.request_id else None,
        "run_id": run_id(row.run_id) if row.run_id else None,
    }


def _stored_nodes(session: Session, size: int, added: int) -> dict[Node, bytes]:
    """The nodes that entries `size` to `size + added` complete: on each level, one interval."""
    end = size + added
    intervals = [
        (AuditNode.level == level)
        & (AuditNode.index >= size >> level)
        & (AuditNode.index < end >> level)
        for level in range(1, end.bit_length())
    ]
    if not intervals:
        return {}
    query = select(AuditNode.level, AuditNode.index, AuditNode.hash).where(or_(*intervals))
    return {(level, index): digest for level, index, digest in session.execute(query)}


def _check_no_other_node(session: Session) -> None:
    """One statement, so that it sees entries and nodes of the same moment."""
    size = select(func.coalesce(func.max(AuditEntry.index), -1) + 1).scalar_subquery()
    leaves_below = cast(literal(1), BigInteger).op("<<")(cast(AuditNode.level, Integer))
    extra = session.execute(
        select(AuditNode.level, AuditNode.index.label("place"))
        .where(
            or_(
                AuditNode.level < 1,
                AuditNode.level > 62,
                AuditNode.index < 0,
                (AuditNode.index + 1) * leaves_below > size,
            )
        )
        .order_by(AuditNode.level, AuditNode.index)
        .limit(1)
    ).first()
    if extra is not None:
        raise _Fault(f"node {extra.place} of level {extra.level}: no entries below it")
