import hmac
from hashlib import sha256

import pytest

from app.certificates.commitment import commit

SALT = b"s" * 32


def leaf(ref: bytes) -> bytes:
    return sha256(b"\x00" + hmac.digest(SALT, ref, "sha256")).digest()


def test_one_sample_is_committed_to_by_its_salted_leaf() -> None:
    found = commit([b"one"], SALT)
    assert (found.root, found.salt, found.count) == (leaf(b"one").hex(), SALT.hex(), 1)


def test_two_samples_are_ordered_by_their_salted_values() -> None:
    first, second = sorted([b"one", b"two"], key=lambda ref: hmac.digest(SALT, ref, "sha256"))
    expected = sha256(b"\x01" + leaf(first) + leaf(second)).hexdigest()
    assert commit([b"one", b"two"], SALT).root == expected
    assert commit([b"two", b"one"], SALT).root == expected


def test_a_sample_given_twice_counts_once() -> None:
    assert commit([b"one", b"two", b"one"], SALT) == commit([b"one", b"two"], SALT)


def test_another_salt_or_another_sample_gives_another_root() -> None:
    roots = {
        commit([b"one", b"two"], SALT).root,
        commit([b"one", b"two"], b"t" * 32).root,
        commit([b"one", b"three"], SALT).root,
        commit([b"one"], SALT).root,
    }
    assert len(roots) == 4


def test_an_empty_set_is_the_hash_of_nothing() -> None:
    found = commit([], SALT)
    assert (found.root, found.count) == (sha256(b"").hexdigest(), 0)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_salt_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        commit([b"one"], b"s" * size)
