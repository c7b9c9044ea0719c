"""What OpenDSR adds to a request: the id its controller gave it, and what was promised on receipt.

Nothing of the body is kept: a repeat is answered from these, and from the repeat itself.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class OpenDsrRequest(Base):
    """`domain` and `public_url` are where the request was received: what its callbacks name."""

    __tablename__ = "opendsr_requests"
    __table_args__ = (UniqueConstraint("controller_id", "subject_request_id"),)

    request_id: Mapped[UUID] = mapped_column(ForeignKey("erasure_requests.id"), primary_key=True)
    controller_id: Mapped[UUID] = mapped_column(ForeignKey("controllers.id"))
    subject_request_id: Mapped[UUID] = mapped_column(index=True)
    api_version: Mapped[str] = mapped_column(String(8))
    received_time: Mapped[datetime]
    expected_completion_time: Mapped[datetime]
    domain: Mapped[str] = mapped_column(String(260))
    public_url: Mapped[str | None] = mapped_column(Text)
