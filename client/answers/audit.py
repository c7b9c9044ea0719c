"""Answers about the audit log and its keys."""

from datetime import datetime
from typing import Any

from client.answers import Answer


class AuditEntry(Answer):
    """`index` is empty until the sequencer has given the entry its place in the log."""

    index: int | None
    kind: str
    facts: dict[str, Any]
    leaf_hash: str
    created_at: datetime


class AuditHead(Answer):
    """The log's tree: how many entries it has and their root. `pending` wait for their place."""

    size: int
    root: str
    pending: int


class SigningKey(Answer):
    """A public key of checkpoints and certificates; `until` is empty for the one in use."""

    key_id: str
    pem: str
    vkey: str
    since: datetime
    until: datetime | None = None
