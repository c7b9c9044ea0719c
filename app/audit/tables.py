"""The audit log: committed entries wait in `audit_pending` until the sequencer gives them an index
and computes the tree nodes that they complete (RFC 6962)."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigId, Sha256Hex, enum_text


class _EntryColumns:
    """`body` is the leaf's exact bytes; the other columns repeat what it says, to be searched."""

    kind: Mapped[str] = mapped_column(String(64))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    leaf_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    controller_id: Mapped[UUID | None]
    request_id: Mapped[UUID | None] = mapped_column(index=True)
    run_id: Mapped[UUID | None]
    created_at: Mapped[datetime]


class PendingEntry(_EntryColumns, Base):
    __tablename__ = "audit_pending"
    # Without it SQLite would use a number again once the table was empty, and a reader who pages
    # through pending entries could miss one.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(BigId, primary_key=True)


class AuditEntry(_EntryColumns, Base):
    __tablename__ = "audit_entries"
    __table_args__ = (
        # A controller reads its own entries out of everybody's log.
        Index("ix_audit_entries_controller", "controller_id", "index"),
        # Whoever holds an entry asks where it stands.
        Index("ix_audit_entries_leaf_hash", "leaf_hash"),
    )

    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    # Ours alone, to look into a delay: no hash binds it.
    sequenced_at: Mapped[datetime]


class AuditNode(Base):
    """Root of a complete subtree: `index` counts nodes of one `level`, whose leaves are level 0."""

    __tablename__ = "audit_nodes"

    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))


class AuditCheckpoint(Base):
    """A signed tree head, as the text of a signed note. `created_at` is ours alone: no signature
    and no hash binds it."""

    __tablename__ = "audit_checkpoints"

    tree_size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    note: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class SigningKey(Base):
    """A public key that signed, or signs, for this log. One that was retired stays, since what it
    signed stays; `retired_at` is all that ever changes."""

    __tablename__ = "signing_keys"

    key_id: Mapped[str] = mapped_column(Sha256Hex, primary_key=True)
    public: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    created_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]


class RewindReason(StrEnum):
    """Why the sealer signs no more: what it had signed last and the log do not fit together."""

    SMALLER = "smaller"
    OTHER_HISTORY = "other_history"
    OTHER_LOG = "other_log"
    MEMORY_MISSING = "memory_missing"
    MEMORY_UNREADABLE = "memory_unreadable"


class LogState(Base):
    """One row at most, made by the sealer: the name of the log, and whether it was found rewound.

    `signed_size` and `signed_root` are those of the last signed head, if the sealer knows it.
    """

    __tablename__ = "audit_log_state"
    __table_args__ = (
        CheckConstraint("id = 1", name="one_row"),
        CheckConstraint(
            "(rewound_at IS NULL) = (rewound_reason IS NULL)", name="reason_if_rewound"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    origin: Mapped[str] = mapped_column(String(200))
    rewound_at: Mapped[datetime | None]
    rewound_reason: Mapped[RewindReason | None] = mapped_column(enum_text(RewindReason))
    signed_size: Mapped[int | None] = mapped_column(BigInteger)
    signed_root: Mapped[bytes | None] = mapped_column(LargeBinary(32))
