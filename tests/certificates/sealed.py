"""Bundles made by hand: a log in memory, a key from a fixed seed, and what they make of a case."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.audit import merkle, notes
from app.audit.kinds import CertificateWritten
from app.audit.log import entry_bytes
from app.audit.notes import Checkpoint
from app.certificates import dsse
from app.certificates.statement import AnyCase, statement_of
from tests.certificates.facts import at

ORIGIN = "lotus.example/log"


class SeedSigner:
    """The same key for the same seed: for tests and vectors only."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


OURS, THEIRS = SeedSigner(bytes(range(32))), SeedSigner(bytes(range(32, 64)))


class Log:
    """Leaves in their order, and the tree over them."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = list(leaves)
        self._hashes = [merkle.leaf_hash(leaf) for leaf in leaves]

    def read(self, nodes: Sequence[merkle.Node]) -> list[bytes]:
        return [self._node(level, index) for level, index in nodes]

    def _node(self, level: int, index: int) -> bytes:
        if level == 0:
            return self._hashes[index]
        left = self._node(level - 1, 2 * index)
        return merkle.node_hash(left, self._node(level - 1, 2 * index + 1))

    def note(
        self, size: int | None = None, *, signer: SeedSigner = OURS, origin: str = ORIGIN
    ) -> str:
        size = len(self.leaves) if size is None else size
        head = Checkpoint(origin, size, merkle.root(size, self.read))
        return notes.signed(head, signer.public, signer.sign(head.text.encode())).note

    def path(self, index: int, size: int | None = None) -> list[bytes]:
        return merkle.inclusion_proof(index, size or len(self.leaves), self.read)

    def proof(self, index: int) -> str:
        return notes.proof_text(index, self.path(index), self.note())


def leaf_of(payload: bytes, case: AnyCase, *, now: datetime, **changes: Any) -> bytes:
    facts: dict[str, Any] = {
        "controller": case.controller,
        "certificate": case.certificate,
        "request": case.request,
        "payload_sha256": sha256(payload),
        "replaces": case.replaces.certificate if case.replaces else None,
    }
    return entry_bytes(CertificateWritten(**(facts | changes)), now=now)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def numbered(case: AnyCase, certificate: UUID) -> AnyCase:
    return case.model_copy(update={"certificate": certificate})


def payload_of(case: AnyCase) -> bytes:
    return statement_of(case).payload()


def log_around(leaf: bytes, *, index: int = 5, size: int = 11) -> Log:
    """A log in which this leaf stands between others."""
    return Log([leaf if place == index else b"leaf %d" % place for place in range(size)])


def sealed(payload: bytes, case: AnyCase, *, signer: SeedSigner = OURS, **changes: Any) -> bytes:
    """A bundle in which everything fits but what the payload itself, or a change, breaks."""
    leaf = leaf_of(payload, case, now=at(6), **changes)
    log = log_around(leaf)
    return dsse.bundle(leaf, dsse.envelope(payload, signer), log.proof(5))
