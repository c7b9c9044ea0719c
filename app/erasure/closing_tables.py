"""After a case has completed: versions taken back, and what closing destroyed."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigId, Sha256Hex, enum_text
from app.ids import new_id


class Rollback(Base):
    """A model's return to an earlier version. `reason` is a person's own text."""

    __tablename__ = "rollbacks"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("models.id"), index=True)
    from_version_id: Mapped[UUID] = mapped_column(ForeignKey("model_versions.id"))
    to_version_id: Mapped[UUID] = mapped_column(ForeignKey("model_versions.id"))
    # Numbers of the versions taken back, and of requests that were reopened for it.
    taken_back: Mapped[list[Any]]
    reopened: Mapped[int]
    reason: Mapped[str] = mapped_column(String(500))
    created_at: Mapped[datetime]


class KnowingVersion(Base):
    """A version that was trained on the person's samples and did not unlearn them: noted when the
    case's links are cut, so that those who pulled it can still be told."""

    __tablename__ = "knowing_versions"

    request_id: Mapped[UUID] = mapped_column(ForeignKey("erasure_requests.id"), primary_key=True)
    version_id: Mapped[UUID] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)


class Destroyed(StrEnum):
    LINKS = "links"
    DATA_ROWS = "data_rows"
    SHARD = "shard"
    WEIGHTS = "weights"


class Destruction(Base):
    """What the closing of one case destroys: decided with the case, done when the bytes are gone.

    A shard is first written anew without the rows: `rewritten_as` names the new file.
    """

    __tablename__ = "destructions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("erasure_requests.id"), index=True)
    what: Mapped[Destroyed] = mapped_column(enum_text(Destroyed))
    sha256: Mapped[str | None] = mapped_column(Sha256Hex)
    shard_id: Mapped[int | None] = mapped_column(ForeignKey("dataset_shards.id"), index=True)
    rewritten_as: Mapped[str | None] = mapped_column(Sha256Hex)
    count: Mapped[int | None]
    decided_at: Mapped[datetime]
