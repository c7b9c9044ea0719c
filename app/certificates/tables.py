"""Certificates: the exact payload is written with the publication, the signature comes after."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, Sha256Hex, enum_text
from app.ids import new_id


class CertificateState(StrEnum):
    UNSIGNED = "unsigned"
    ISSUED = "issued"


class Certificate(Base):
    """`payload` is what will be signed, byte for byte; `payload_sha256` stands in the audit log.

    Issued, it has an envelope, and `proof` shows its entry under the checkpoint that it holds. None
    of these changes any more: a newer certificate replaces it instead.
    """

    __tablename__ = "certificates"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("erasure_requests.id"), index=True)
    state: Mapped[CertificateState] = mapped_column(enum_text(CertificateState), index=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    payload_sha256: Mapped[str] = mapped_column(Sha256Hex)
    envelope: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    proof: Mapped[str | None] = mapped_column(Text, deferred=True)
    log_index: Mapped[int | None] = mapped_column(BigInteger)
    replaces_id: Mapped[UUID | None] = mapped_column(ForeignKey("certificates.id"), unique=True)
    created_at: Mapped[datetime]
    issued_at: Mapped[datetime | None]


class CertificateRead(Base):
    """The last day (UTC) on which a key's reading of a certificate was entered in the log."""

    __tablename__ = "certificate_reads"

    certificate_id: Mapped[UUID] = mapped_column(ForeignKey("certificates.id"), primary_key=True)
    key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    last_day: Mapped[date]
