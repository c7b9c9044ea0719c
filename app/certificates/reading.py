"""Handing out what was issued, and the note in the audit log of who read it.

A reading is entered at most once a day for each key and certificate, before the answer is given:
whoever polls makes the log no longer, and nobody reads unseen.
"""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.audit.kinds import CertificateRead as Read
from app.audit.log import append
from app.audit.tables import AuditEntry
from app.certificates import dsse
from app.certificates.tables import Certificate, CertificateRead


def bundle(session: Session, certificate: UUID) -> bytes:
    """Of an issued certificate: two look-ups, and the same bytes every time."""
    envelope, proof, index = session.execute(
        select(Certificate.envelope, Certificate.proof, Certificate.log_index).where(
            Certificate.id == certificate
        )
    ).one()
    assert envelope is not None and proof is not None, "only of an issued certificate"
    entry = session.scalars(select(AuditEntry.body).where(AuditEntry.index == index)).one()
    return dsse.bundle(entry, envelope, proof)


def is_noted(session: Session, certificate: UUID, key: UUID, *, now: datetime) -> bool:
    last = session.scalar(
        select(CertificateRead.last_day).where(
            CertificateRead.certificate_id == certificate, CertificateRead.key_id == key
        )
    )
    return last is not None and last >= _day(now)


def note(session: Session, read: Read, key: UUID, *, now: datetime) -> None:
    """Two calls that come at once meet at the primary key, and one of them makes the entry."""
    postgres = session.get_bind().dialect.name == "postgresql"
    insert = (postgresql.insert if postgres else sqlite.insert)(CertificateRead).values(
        certificate_id=read.certificate, key_id=key, last_day=_day(now)
    )
    made = session.scalar(
        insert.on_conflict_do_update(
            index_elements=["certificate_id", "key_id"],
            set_={"last_day": insert.excluded.last_day},
            where=CertificateRead.last_day < insert.excluded.last_day,
        ).returning(CertificateRead.last_day)
    )
    if made is not None:
        append(session, read, now=now)


def _day(now: datetime) -> date:
    return now.date()
