"""Proofs over the stored tree: that an entry stands in it, and that it only grew (RFC 6962).

Sizes and hashes only: whoever may read proofs learns nothing of other controllers' entries.
"""

from sqlalchemy.orm import Session

from app.audit import merkle, sequencer
from app.http.problems import Problem


class NoSuchTree(Problem):
    status = 404
    code = "no-such-tree"
    title = "The log has no tree of this size"


class NotInTree(Problem):
    status = 404
    code = "not-in-tree"
    title = "The entry is not in the tree"


def inclusion(session: Session, index: int, size: int) -> list[bytes]:
    """Audit path of the entry in the tree over the first `size` entries, nearest sibling first."""
    _require_tree(session, size)
    if not 0 <= index < size:
        raise NotInTree("The tree of this size has no entry with this index.")
    return merkle.inclusion_proof(index, size, sequencer.reader(session))


def consistency(session: Session, old: int, new: int) -> list[bytes]:
    """Proof that the tree of `old` entries is the beginning of that of `new`."""
    _require_tree(session, new)
    if not 0 < old <= new:
        raise NoSuchTree("The older tree has at least one entry, and no more than the newer one.")
    return merkle.consistency_proof(old, new, sequencer.reader(session))


def root(session: Session, size: int) -> bytes:
    _require_tree(session, size)
    return sequencer.root_at(session, size)


def _require_tree(session: Session, size: int) -> None:
    if not 0 <= size <= sequencer.size(session):
        raise NoSuchTree("The log has fewer entries than that; `/audit/head` says how many.")
