"""Who was given which version's weights (GDPR Art. 19)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id


class VersionPull(Base):
    """One key and one version; `count` are the calls that were answered with the weights."""

    __tablename__ = "version_pulls"
    __table_args__ = (UniqueConstraint("version_id", "key_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    version_id: Mapped[UUID] = mapped_column(ForeignKey("model_versions.id"))
    key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"), index=True)
    controller_id: Mapped[UUID] = mapped_column(ForeignKey("controllers.id"))
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
    count: Mapped[int]
