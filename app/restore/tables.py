"""What the service knows of itself: whether it waits for a person after a restore."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, enum_text


class PauseReason(StrEnum):
    """What gave the restore away, or that a person paused the service."""

    DATABASE_OLDER = "database_older"
    OTHER_HISTORY = "other_history"
    OTHER_DATABASE = "other_database"
    MARK_MISSING = "mark_missing"
    OPERATOR = "operator"


class ServiceState(Base):
    """One row at most. `marked_at`: since then a mark of the log lies beside the artifacts."""

    __tablename__ = "service_state"
    __table_args__ = (
        CheckConstraint("id = 1", name="one_row"),
        CheckConstraint("(paused_at IS NULL) = (pause_reason IS NULL)", name="reason_if_paused"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    marked_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    pause_reason: Mapped[PauseReason | None] = mapped_column(enum_text(PauseReason))
