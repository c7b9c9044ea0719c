"""Re-checks: whether completed cases still hold on a model's current version."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, enum_text
from app.erasure.tables import ErrorClass
from app.ids import new_id


class Trigger(StrEnum):
    """new_version: there are cases that nobody has compared on this version. schedule: there are
    none, and the version's bytes are compared with its digest."""

    NEW_VERSION = "new_version"
    SCHEDULE = "schedule"


class RecheckState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    # The version had been taken back before the end: what was found is not held against anybody.
    SUPERSEDED = "superseded"
    FAILED = "failed"


LIVE = (RecheckState.QUEUED, RecheckState.RUNNING)


class Skipped(StrEnum):
    """Why a case could not be compared."""

    RESTING_VERSION_DESTROYED = "resting_version_destroyed"
    SAMPLES_DESTROYED = "samples_destroyed"
    NO_UNSEEN_ROWS = "no_unseen_rows"  # of the classes of its samples


_is_live = text("state IN ('queued', 'running')")


class Recheck(Base):
    """One comparison of a model's open cases on one version. Its cases never change."""

    __tablename__ = "rechecks"
    __table_args__ = (
        Index(
            "uq_rechecks_one_live_per_model",
            "model_id",
            unique=True,
            sqlite_where=_is_live,
            postgresql_where=_is_live,
        ),
        Index("ix_rechecks_page", "model_id", "id"),
        CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease_if_running"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("models.id"))
    version_id: Mapped[UUID] = mapped_column(ForeignKey("model_versions.id"), index=True)
    trigger: Mapped[Trigger] = mapped_column(enum_text(Trigger))
    state: Mapped[RecheckState] = mapped_column(enum_text(RecheckState))
    # The fencing token, as of a run.
    attempt: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    worker_id: Mapped[UUID | None] = mapped_column(ForeignKey("workers.id"))
    case_count: Mapped[int]
    # Of the cases together, if any could be compared: {difference, standard_error, lower_99, alarm}
    # and the counts of samples and unseen rows that they come from.
    pooled: Mapped[dict[str, Any] | None]
    relapsed_count: Mapped[int] = mapped_column(default=0)
    device: Mapped[str | None] = mapped_column(String(100))
    code_version: Mapped[str | None] = mapped_column(String(64))
    error_class: Mapped[ErrorClass | None] = mapped_column(enum_text(ErrorClass))
    error_detail: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class RecheckCase(Base):
    """One item in one re-check. Figures are empty until it is done, or if the case was skipped;
    p and q also where the cases together raised no alarm, for then none is looked at alone."""

    __tablename__ = "recheck_cases"

    recheck_id: Mapped[UUID] = mapped_column(ForeignKey("rechecks.id"), primary_key=True)
    item_id: Mapped[UUID] = mapped_column(
        ForeignKey("erasure_items.id"), primary_key=True, index=True
    )
    # What it is compared with: the version of the run that the item rested on.
    resting_version_id: Mapped[UUID] = mapped_column(ForeignKey("model_versions.id"))
    samples: Mapped[int | None]
    change: Mapped[float | None]
    standard_error: Mapped[float | None]
    p_value: Mapped[float | None]
    q: Mapped[float | None]
    relapsed: Mapped[bool] = mapped_column(default=False)
    skipped: Mapped[Skipped | None] = mapped_column(enum_text(Skipped))
