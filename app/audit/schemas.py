"""The audit log on the wire."""

from typing import Annotated

from pydantic import BaseModel, Field, JsonValue

from app.canonical import Instant


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
