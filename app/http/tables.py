"""Answers that were given under an Idempotency-Key, so that a repeat gets the same one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class IdempotencyKey(Base):
    """`resource_id` names what was created; the answer is rendered from it again."""

    __tablename__ = "idempotency_keys"

    controller_id: Mapped[UUID] = mapped_column(ForeignKey("controllers.id"), primary_key=True)
    key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))
    # Empty only inside the transaction that creates the resource.
    resource_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(index=True)
