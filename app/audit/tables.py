"""The audit log: committed entries wait in `audit_pending` until the sequencer gives them an index
and computes the tree nodes that they complete (RFC 6962)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigId


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
    # A controller reads its own entries out of everybody's log.
    __table_args__ = (Index("ix_audit_entries_controller", "controller_id", "index"),)

    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sequenced_at: Mapped[datetime]


class AuditNode(Base):
    """Root of a complete subtree: `index` counts nodes of one `level`, whose leaves are level 0."""

    __tablename__ = "audit_nodes"

    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))


class AuditCheckpoint(Base):
    """A signed tree head, as the text of a signed note."""

    __tablename__ = "audit_checkpoints"

    tree_size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    note: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
