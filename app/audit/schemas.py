"""The audit log on the wire."""

from typing import Annotated

from pydantic import BaseModel, Field, JsonValue

from app.canonical import Instant

Hashes = Annotated[
    list[str], Field(description="SHA-256, in hexadecimal, in the order of RFC 6962.")
]


class EntryView(BaseModel):
    """The leaf is `{"facts":.., "kind":.., "time":..}` in canonical JSON, its time `created_at`."""

    index: Annotated[
        int | None, Field(description="Place in the log; null until the entry is sequenced.")
    ]
    kind: str
    facts: dict[str, JsonValue]
    leaf_hash: Annotated[str, Field(description="SHA-256(0x00 || leaf), in hexadecimal.")]
    created_at: Instant


class HeadView(BaseModel):
    """The tree as it stands; `pending` entries are committed but have no place in it yet."""

    size: int
    root: Annotated[str, Field(description="RFC 6962 tree hash, in hexadecimal.")]
    pending: int


class InclusionView(BaseModel):
    """Proof that the entry stands in the tree over the first `tree_size` entries."""

    index: int
    tree_size: int
    leaf_hash: Annotated[str, Field(description="SHA-256(0x00 || leaf), in hexadecimal.")]
    root: Annotated[str, Field(description="Of the tree, in hexadecimal.")]
    hashes: Hashes


class ConsistencyView(BaseModel):
    """Proof that the tree of `old` entries is the beginning of that of `new`."""

    old: int
    new: int
    old_root: Annotated[str, Field(description="In hexadecimal.")]
    new_root: Annotated[str, Field(description="In hexadecimal.")]
    hashes: Hashes


class SigningKeyView(BaseModel):
    """A public key that signed checkpoints and certificates from `since` on, until it was
    retired."""

    key_id: Annotated[
        str, Field(description="SHA-256 of the DER SubjectPublicKeyInfo, in hexadecimal.")
    ]
    pem: str
    vkey: Annotated[str, Field(description="The key as verifiers of signed notes are told it.")]
    since: Instant
    until: Annotated[Instant | None, Field(description="Null for the key in use.")]


class SigningKeys(BaseModel):
    """Oldest first; empty while nothing was ever signed."""

    items: list[SigningKeyView]
