"""Each byte of a bundle is changed, removed, doubled, swapped with the next and followed by others:
nothing passes."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from app.certificates import verify
from app.certificates.verify import Flaw
from tests.certificates.sealed import OURS
from tests.certificates.vectors import FOLDER

FLIPS = [0x01, 0x02, 0x20, 0x80]
INSERTED = [b"\n", b"0", b'"']
KEYS = [OURS.public]
Ways = Callable[[bytes], Iterator[tuple[str, bytes]]]


def flipped(raw: bytes) -> Iterator[tuple[str, bytes]]:
    for place, byte in enumerate(raw):
        for bits in FLIPS:
            yield "flipped", raw[:place] + bytes([byte ^ bits]) + raw[place + 1 :]


def moved(raw: bytes) -> Iterator[tuple[str, bytes]]:
    for place, byte in enumerate(raw):
        yield "removed", raw[:place] + raw[place + 1 :]
        yield "doubled", raw[:place] + bytes([byte]) + raw[place:]
        following = raw[place + 1 : place + 2]
        if following and following[0] != byte:
            yield "swapped", raw[:place] + following + bytes([byte]) + raw[place + 2 :]


def inserted(raw: bytes) -> Iterator[tuple[str, bytes]]:
    for place in range(len(raw) + 1):
        for one in INSERTED:
            yield "inserted", raw[:place] + one + raw[place:]


def cut_off(raw: bytes) -> Iterator[tuple[str, bytes]]:
    for place in range(len(raw)):
        yield "cut off", raw[:place]


def undetected(mutants: Iterator[tuple[str, bytes]]) -> tuple[Counter[str], list[str]]:
    """How many of each way were tried, and those that were accepted."""
    tried: Counter[str] = Counter()
    accepted = []
    for way, mutant in mutants:
        tried[way] += 1
        try:
            verify.verify(mutant, KEYS)
        except Flaw:
            continue
        accepted.append(f"{way}, number {tried[way]}")
    return tried, accepted


@pytest.mark.parametrize("ways", [flipped, moved, inserted, cut_off])
def test_no_change_of_a_byte_passes(ways: Ways) -> None:
    raw = (FOLDER / "good-no-match.json").read_bytes()
    tried, accepted = undetected(ways(raw))
    print(f"\n{len(raw)} bytes: {dict(tried)}, {len(accepted)} accepted")
    assert accepted == []
    assert min(tried.values()) > 0.9 * len(raw)


def test_no_change_of_a_byte_of_a_longer_statement_passes() -> None:
    raw = (FOLDER / "good-unlearned.json").read_bytes()
    tried, accepted = undetected(islice(flipped(raw), 0, None, len(FLIPS)))
    print(f"\n{len(raw)} bytes: {dict(tried)}, {len(accepted)} accepted")
    assert accepted == []
    assert tried == {"flipped": len(raw)}


def test_a_mutant_that_changes_nothing_is_counted_as_accepted() -> None:
    raw = (FOLDER / "good-no-match.json").read_bytes()
    assert undetected(iter([("unchanged", raw)])) == (
        Counter({"unchanged": 1}),
        ["unchanged, number 1"],
    )
