"""A commitment to a set of samples that names none of them.

Leaf = HMAC-SHA-256(salt, sample reference); leaves are sorted, so that the set and not its order is
committed to; root = RFC 6962 Merkle tree hash over the leaves. Whoever holds the references and the
salt can recompute it, and show with an audit path that one sample was in the set. A part of a set
is committed to with the set's salt, so that its leaves are leaves of the whole.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.audit.merkle import Subtrees, leaf_hash
from app.canonical import Count, Sha256

SALT_BYTES = 32


class Commitment(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Sha256
    salt: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * SALT_BYTES}}}$")]
    count: Count


def commit(sample_refs: Iterable[bytes], salt: bytes) -> Commitment:
    """A reference that is given twice counts once. Raises ValueError for a salt of another size."""
    return commit_leaves((leaf_of(ref, salt) for ref in sample_refs), salt)


def leaf_of(sample_ref: bytes, salt: bytes) -> bytes:
    if len(salt) != SALT_BYTES:
        raise ValueError(f"the salt must be {SALT_BYTES} bytes")
    return hmac.new(salt, sample_ref, hashlib.sha256).digest()


def commit_leaves(leaves: Iterable[bytes], salt: bytes) -> Commitment:
    """The same from leaves made before, where the references are no longer there."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"the salt must be {SALT_BYTES} bytes")
    ordered = sorted(set(leaves))
    tree = Subtrees(0, [])
    for leaf in ordered:
        tree.add(leaf_hash(leaf))
    return Commitment(root=tree.root().hex(), salt=salt.hex(), count=len(ordered))
