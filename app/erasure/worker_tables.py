"""Who works: each process that claims runs or keeps the time has a row, by which it is known."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, enum_text
from app.ids import new_id

# A worker that has not been heard of for so long is taken for gone.
SILENCE = timedelta(minutes=2)


class WorkerRole(StrEnum):
    """local: everything on one machine. gpu: computes runs. ops: all the rest of a fleet's work."""

    LOCAL = "local"
    GPU = "gpu"
    OPS = "ops"


class Worker(Base):
    __tablename__ = "workers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    # The host and the process on it.
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[WorkerRole] = mapped_column(enum_text(WorkerRole), default=WorkerRole.LOCAL)
    device: Mapped[str | None] = mapped_column(String(100))
    heartbeat_at: Mapped[datetime]
    started_at: Mapped[datetime]
    # No foreign key: runs refer to workers.
    current_run_id: Mapped[UUID | None]
