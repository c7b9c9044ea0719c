"""The Merkle tree of RFC 6962, as pure functions over complete subtrees.

A node is the root of a complete subtree: node (level, index) covers the leaves from
`index << level` up to `(index + 1) << level`. Nodes never change once they exist, so a tree of any
size is a reading of nodes that storage already has; the functions here name them, read them through
a callback in one call, and combine them.
"""

import hashlib
from collections.abc import Callable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


Node = tuple[int, int]  # (level, index)
# Leaves from `start` up to, not including, `end`. `start` is a multiple of a power of two that is
# at least the range's length, as everywhere in RFC 6962, so its complete subtrees are well defined.
_Range = tuple[int, int]
Read = Callable[[Sequence[Node]], Sequence[bytes]]


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(size: int, read: Read) -> bytes:
    """MTH of the first `size` leaves (RFC 6962, 2.1)."""
    return _range_hashes([(0, size)], read)[0] if size else EMPTY_ROOT


class Subtrees:
    """A growing tree, as the roots of its complete subtrees, largest first."""

    def __init__(self, size: int, roots: Sequence[bytes]) -> None:
        self.size = size
        self._roots = list(roots)

    @classmethod
    def read(cls, size: int, read: Read) -> "Subtrees":
        return cls(size, read(_cover(0, size)) if size else [])

    def add(self, leaf: bytes) -> list[tuple[Node, bytes]]:
        """Appends a leaf hash; the nodes above level 0 that it completes."""
        self._roots.append(leaf)
        completed: list[tuple[Node, bytes]] = []
        level, index = 0, self.size
        self.size += 1
        while index & 1:
            right = self._roots.pop()
            self._roots[-1] = node_hash(self._roots[-1], right)
            level, index = level + 1, index >> 1
            completed.append(((level, index), self._roots[-1]))
        return completed

    def root(self) -> bytes:
        return _fold(self._roots) if self._roots else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read: Read) -> list[bytes]:
    """Audit path of a leaf, nearest sibling first (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError("the leaf is not in a tree of this size")
    ranges: list[_Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return _range_hashes(ranges[::-1], read)


def consistency_proof(first: int, second: int, read: Read) -> list[bytes]:
    """Proof that the first tree is the beginning of the second (RFC 6962, 2.1.2)."""
    if not 0 < first <= second:
        raise ValueError("the first tree must be a non-empty beginning of the second")
    ranges: list[_Range] = []
    start, end = 0, second
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:  # else the subtree is the first tree itself, whose root the verifier holds
        ranges.append((start, end))
    return _range_hashes(ranges[::-1], read)


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """RFC 9162, 2.1.4.2. A tree is consistent with itself by an empty proof only."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    path = list(proof)
    if first & (first - 1) == 0:  # a power of two: its root is a node of the second tree
        path.insert(0, first_root)
    if not path:
        return False
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (size >= 2)."""
    return int(1 << ((size - 1).bit_length() - 1))


def _cover(start: int, end: int) -> list[Node]:
    """The complete subtrees that make up a range, left to right, largest first."""
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Joins neighbouring subtrees, largest first, from the right."""
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


def _range_hashes(ranges: Sequence[_Range], read: Read) -> list[bytes]:
    covers = [_cover(start, end) for start, end in ranges]
    wanted = [node for cover in covers for node in cover]
    found = iter(read(wanted) if wanted else [])
    return [_fold([next(found) for _ in cover]) for cover in covers]
