"""Recomputes the whole log from the stored bytes and names the first thing that does not fit.

Reads in batches and keeps only the roots of the complete subtrees so far, so memory does not grow
with the log. What it cannot see is a log that was cut short or written anew as a whole, checkpoints
and keys included: only a checkpoint that was kept elsewhere shows that, given as `since`.

No hash binds `sequenced_at` of an entry, `created_at` of a checkpoint and the order of what waits:
nothing is concluded from them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Integer, Row, cast, func, literal, or_, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.audit.merkle import Node, Subtrees
from app.audit.notes import Checkpoint
from app.audit.rows import COLUMNS, Compare, comparison, is_unreadable, raw
from app.audit.signatures import BadSignature, Signatures
from app.audit.tables import AuditEntry, AuditNode, PendingEntry

BATCH = 5000
# Plain tables: a log is long, and its rows need not become objects.
_ENTRIES, _PENDING, _NODES = (table.__table__.c for table in (AuditEntry, PendingEntry, AuditNode))


@dataclass(frozen=True)
class CheckResult:
    """`entries` were found good, and `root_hex` is the root over them; `checkpoints` of these trees
    were found rightly signed. `pending` entries are committed but not sequenced yet."""

    entries: int
    pending: int
    root_hex: str
    first_fault: str | None
    checkpoints: int = 0

    @property
    def ok(self) -> bool:
        return self.first_fault is None


class _Fault(Exception):
    pass


def check(session: Session, *, since: Checkpoint | None = None, batch: int = BATCH) -> CheckResult:
    """With `since`, whose signature is for the caller to verify, the log must continue it too."""
    tree, signatures = Subtrees(0, []), Signatures.read(session, since)
    compare = comparison(session.get_bind().dialect)
    fault: str | None = None
    try:
        for rows in _in_order(session, _ENTRIES, _ENTRIES.index, "entry", batch):
            stored = _stored_nodes(session, tree.size, len(rows))
            signatures.load(session, tree.size, tree.size + len(rows))
            _check_entries(tree, rows, stored, compare, signatures)
        _check_no_other_node(session)
        for rows in _in_order(session, _PENDING, _PENDING.id, "pending entry", batch):
            for row in rows:
                _check_row(f"pending entry {row[0]}", row, compare)
                signatures.note_event(row.kind, row.body)
        signatures.finish(session, tree.size)
    except (_Fault, BadSignature) as found:
        fault = str(found)
    pending = session.scalar(select(func.count(_PENDING.id))) or 0
    return CheckResult(tree.size, pending, tree.root().hex(), fault, signatures.verified)


def _in_order(
    session: Session, table: Any, place: Any, name: str, batch: int
) -> Iterator[Sequence[Row[Any]]]:
    """The rows in batches. A batch that cannot be read is read again one by one, to name the
    row."""
    columns = [raw(table[column]).label(column) for column in COLUMNS]
    query = select(place, *columns).order_by(place)
    last: int | None = None
    while True:
        following = query if last is None else query.where(place > last)
        try:
            rows = session.execute(following.limit(batch)).all()
        except OperationalError as error:
            if not is_unreadable(error):
                raise
            if batch == 1:
                after = "the first" if last is None else f"the one after {last}"
                raise _Fault(f"{name}: {after} has a column that cannot be read") from None
            batch = 1
            continue
        if rows:
            yield rows
            last = rows[-1][0]
        if len(rows) < batch:
            return


def _check_entries(
    tree: Subtrees,
    rows: Sequence[Row[Any]],
    stored: dict[Node, bytes],
    compare: Compare,
    signatures: Signatures,
) -> None:
    sizes = signatures.sizes
    for row in rows:
        if row[0] != tree.size:
            raise _Fault(f"entry {tree.size}: missing, the next index is {row[0]}")
        _check_row(f"entry {tree.size}", row, compare)
        for node, digest in tree.add(row.leaf_hash):
            if stored.get(node) != digest:
                level, index = node
                flaw = "is not the hash of the entries below it" if node in stored else "missing"
                raise _Fault(f"node {index} of level {level}: {flaw}")
        if tree.size in sizes:
            signatures.check(tree.size, tree.root())
        signatures.note_event(row.kind, row.body)


def _check_row(name: str, row: Row[Any], compare: Compare) -> None:
    flaw = compare(row)
    if flaw is not None:
        raise _Fault(f"{name}: {flaw}")


def _stored_nodes(session: Session, size: int, added: int) -> dict[Node, bytes]:
    """The nodes that entries `size` to `size + added` complete: on each level, one interval."""
    end = size + added
    intervals = [
        (_NODES.level == level) & (_NODES.index >= size >> level) & (_NODES.index < end >> level)
        for level in range(1, end.bit_length())
    ]
    if not intervals:
        return {}
    query = select(_NODES.level, _NODES.index, raw(_NODES.hash)).where(or_(*intervals))
    return {(level, index): digest for level, index, digest in session.execute(query)}


def _check_no_other_node(session: Session) -> None:
    """One statement, so that it sees entries and nodes of the same moment."""
    size = select(func.coalesce(func.max(_ENTRIES.index), -1) + 1).scalar_subquery()
    leaves_below = cast(literal(1), BigInteger).op("<<")(cast(_NODES.level, Integer))
    extra = session.execute(
        select(_NODES.level, _NODES.index.label("place"))
        .where(
            or_(
                _NODES.level < 1,
                _NODES.level > 62,
                _NODES.index < 0,
                (_NODES.index + 1) * leaves_below > size,
            )
        )
        .order_by(_NODES.level, _NODES.index)
        .limit(1)
    ).first()
    if extra is not None:
        raise _Fault(f"node {extra.place} of level {extra.level}: no entries below it")
