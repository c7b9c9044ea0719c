import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.audit import merkle
from app.audit.merkle import Node, Subtrees, leaf_hash
from app.certificates.verify import Flaw, check_inclusion

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "merkle.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(root) for root in VECTORS["roots"]]


def stored(leaves: Sequence[bytes]) -> merkle.Read:
    """What storage holds of a tree over these leaf hashes: leaves and complete subtrees only."""
    nodes: dict[Node, bytes] = {}
    tree = Subtrees(0, [])
    for index, leaf in enumerate(leaves):
        nodes[0, index] = leaf
        nodes.update(tree.add(leaf))
    return lambda wanted: [nodes[node] for node in wanted]


READ = stored(LEAVES)


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    try:
        check_inclusion(leaf, index, size, proof, root)
    except Flaw:
        return False
    return True


@pytest.mark.parametrize("size", range(9))
def test_the_root_of_every_size_is_the_published_one(size: int) -> None:
    assert merkle.root(size, READ) == ROOTS[size]
    tree = Subtrees(0, [])
    for leaf in LEAVES[:size]:
        tree.add(leaf)
    assert (tree.size, tree.root()) == (size, ROOTS[size])


@pytest.mark.parametrize("size", range(9))
def test_a_tree_continued_from_storage_ends_like_one_built_at_once(size: int) -> None:
    tree = Subtrees.read(size, READ)
    completed = [node for leaf in LEAVES[size:] for node in tree.add(leaf)]
    assert tree.root() == ROOTS[8]
    assert [digest for _, digest in completed] == READ([place for place, _ in completed])


@pytest.mark.parametrize("case", VECTORS["inclusion"], ids=lambda c: f"{c['index']} of {c['size']}")
def test_inclusion_proofs_are_the_published_ones_and_verify(case: dict) -> None:
    index, size = case["index"], case["size"]
    proof = merkle.inclusion_proof(index, size, READ)
    assert [digest.hex() for digest in proof] == case["proof"]
    assert is_included(LEAVES[index], index, size, proof, ROOTS[size])


@pytest.mark.parametrize(
    "case", VECTORS["consistency"], ids=lambda c: f"{c['first']} to {c['second']}"
)
def test_consistency_proofs_are_the_published_ones_and_verify(case: dict) -> None:
    first, second = case["first"], case["second"]
    proof = merkle.consistency_proof(first, second, READ)
    assert [digest.hex() for digest in proof] == case["proof"]
    assert merkle.verify_consistency(first, second, ROOTS[first], ROOTS[second], proof)


MANY = [leaf_hash(bytes([number])) for number in range(70)]
MANY_READ = stored(MANY)
MANY_ROOTS = [merkle.root(size, MANY_READ) for size in range(71)]


@pytest.mark.parametrize("size", [1, 2, 3, 13, 32, 33, 64, 69, 70])
def test_an_inclusion_proof_holds_for_no_other_place_leaf_or_size(size: int) -> None:
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, MANY_READ)
        holds = {
            (leaf, place)
            for leaf in range(size)
            for place in range(size)
            if index in (leaf, place)
            and is_included(MANY[leaf], place, size, proof, MANY_ROOTS[size])
        }
        assert holds == {(index, index)}
        assert not is_included(MANY[index], index, size, proof, MANY_ROOTS[size - 1])
        longer = [*proof, proof[0] if proof else MANY[0]]
        assert not is_included(MANY[index], index, size, longer, MANY_ROOTS[size])
        if proof:
            root = MANY_ROOTS[size]
            assert not is_included(MANY[index], index, size, proof[:-1], root)
            assert not is_included(MANY[index], index, size, proof[::-1], root) or (
                proof == proof[::-1]
            )


def test_a_consistency_proof_holds_for_no_other_pair_of_roots() -> None:
    for second in (5, 8, 33, 64, 70):
        for first in range(1, second + 1):
            proof = merkle.consistency_proof(first, second, MANY_READ)
            old, new = MANY_ROOTS[first], MANY_ROOTS[second]
            assert merkle.verify_consistency(first, second, old, new, proof)
            assert not merkle.verify_consistency(first, second, MANY[0][::-1], new, proof)
            assert not merkle.verify_consistency(first, second, old, MANY[0][::-1], proof)
            assert not merkle.verify_consistency(first, second, old, new, [*proof, old])
            if proof:
                assert not merkle.verify_consistency(first, second, old, new, proof[:-1])
                flipped = bytes([proof[0][0] ^ 1]) + proof[0][1:]
                assert not merkle.verify_consistency(first, second, old, new, [flipped, *proof[1:]])


def test_a_rewritten_beginning_has_no_consistency_proof() -> None:
    forged = [leaf_hash(b"forged"), *MANY[1:]]
    read = stored(forged)
    for first in (1, 6, 32):
        proof = merkle.consistency_proof(first, 70, read)
        root = merkle.root(70, read)
        assert not merkle.verify_consistency(first, 70, MANY_ROOTS[first], root, proof)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (8, 8)])
def test_a_leaf_outside_the_tree_has_no_inclusion_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError):
        merkle.inclusion_proof(index, size, READ)
    assert not is_included(LEAVES[0], index, size, [], ROOTS[1])


@pytest.mark.parametrize(("first", "second"), [(0, 4), (5, 4), (-1, 4)])
def test_only_a_non_empty_smaller_tree_can_be_consistent(first: int, second: int) -> None:
    with pytest.raises(ValueError):
        merkle.consistency_proof(first, second, READ)
    assert not merkle.verify_consistency(first, second, ROOTS[0], ROOTS[4], [])


def test_a_proof_reads_storage_once_and_few_nodes() -> None:
    calls: list[int] = []

    def counting(nodes: Sequence[Node]) -> Sequence[bytes]:
        calls.append(len(nodes))
        return MANY_READ(nodes)

    merkle.inclusion_proof(3, 70, counting)
    merkle.consistency_proof(37, 70, counting)
    assert len(calls) == 2
    assert max(calls) <= 14
