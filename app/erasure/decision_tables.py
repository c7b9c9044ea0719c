"""What persons decided about a request, and why: the log has the same without their own words."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, Sha256Hex, enum_text
from app.ids import new_id


class DecisionAction(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"
    HOLD = "hold"
    RESUME = "resume"
    EXTEND = "extend"


class HoldReason(StrEnum):
    """Why nothing is done for a while."""

    # Whether the person is who he says: the controller has asked (GDPR Art. 12(6)).
    IDENTITY_QUESTION = "identity_question"
    # The person asked for restriction in place of erasure, or has objected (GDPR Art. 18).
    RESTRICTION = "restriction"
    LEGAL_HOLD = "legal_hold"
    INTERNAL_REVIEW = "internal_review"


class ExtensionReason(StrEnum):
    """GDPR Art. 12(3): what an extension may rest on."""

    COMPLEXITY = "complexity"
    NUMBER_OF_REQUESTS = "number_of_requests"


_has_end = text("note_until IS NOT NULL")


class RequestDecision(Base):
    """`note` is a person's own text, kept until the case closes and until `note_until` at most; the
    log has its salted hash. Of a letter to the person only the digest is kept."""

    __tablename__ = "request_decisions"
    __table_args__ = (
        Index(
            "ix_request_decisions_note_until",
            "note_until",
            sqlite_where=_has_end,
            postgresql_where=_has_end,
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("erasure_requests.id"), index=True)
    action: Mapped[DecisionAction] = mapped_column(enum_text(DecisionAction))
    reason: Mapped[str | None] = mapped_column(String(40))
    until: Mapped[datetime | None]
    evidence_sha256: Mapped[str | None] = mapped_column(Sha256Hex)
    note: Mapped[str | None] = mapped_column(String(1000))
    note_salt: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    note_until: Mapped[datetime | None]
    decided_by: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    decided_at: Mapped[datetime]
