"""The signed heads that are stored, and the keys that signed them."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.audit.tables import AuditCheckpoint, AuditEntry, LogState, PendingEntry, SigningKey


def newest(session: Session) -> AuditCheckpoint | None:
    return session.scalar(
        select(AuditCheckpoint).order_by(AuditCheckpoint.tree_size.desc()).limit(1)
    )


def of_size(session: Session, size: int) -> AuditCheckpoint | None:
    return session.get(AuditCheckpoint, size)


def log_state(session: Session) -> LogState | None:
    """None until the sealer has begun its work."""
    return session.get(LogState, 1)


def signing_keys(session: Session) -> list[SigningKey]:
    """All that ever signed, oldest first."""
    return list(
        session.scalars(select(SigningKey).order_by(SigningKey.created_at, SigningKey.key_id))
    )


def key_in_use(session: Session) -> SigningKey | None:
    return session.scalar(select(SigningKey).where(SigningKey.retired_at.is_(None)))


def first_unsealed(session: Session) -> datetime | None:
    """When the first entry of the log was written that no checkpoint covers."""
    last = newest(session)
    size = last.tree_size if last is not None else 0
    return session.scalar(select(AuditEntry.created_at).where(AuditEntry.index == size))


def unsealed_since(session: Session) -> datetime | None:
    """The same, of what waits for its place too; None if there is none."""
    waiting = session.scalar(select(func.min(PendingEntry.created_at)))
    times = (first_unsealed(session), waiting)
    return min((time for time in times if time is not None), default=None)


def is_rewound(session: Session) -> bool:
    return session.scalar(select(LogState.rewound_at).where(LogState.id == 1)) is not None
