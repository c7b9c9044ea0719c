"""The signed heads that are stored, and the keys that signed them."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.tables import AuditCheckpoint, LogState, SigningKey


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
