"""Writing a certificate: its exact payload, and that payload's digest in the audit log."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, bindparam, exists, select
from sqlalchemy.orm import Session, aliased

from app.audit.kinds import CertificateWritten
from app.audit.log import append
from app.certificates import wording
from app.certificates.model_erasure import VersionDigest
from app.certificates.statement import (
    AnyCase,
    Destruction,
    Replaced,
    Statement,
    UnlearnedCase,
    statement_of,
)
from app.certificates.tables import Certificate, CertificateState
from app.ids import new_id

# Made once: an alias costs more to make than the query that uses it.
_Later = aliased(Certificate)
_NEWEST = select(Certificate).where(
    Certificate.request_id == bindparam("request", type_=Uuid()),
    ~exists().where(_Later.replaces_id == Certificate.id),
)


def newest(session: Session, request_id: UUID) -> Certificate | None:
    """The request's certificate that no other replaces."""
    return session.scalar(_NEWEST, {"request": request_id})


def published_versions(certificate: Certificate) -> dict[UUID, VersionDigest]:
    """The newest version of each model that the certificate names as published."""
    case = Statement.model_validate_json(certificate.payload).predicate
    found: dict[UUID, VersionDigest] = {}
    if isinstance(case, UnlearnedCase):
        for model in sorted(case.models, key=lambda one: one.published.number):
            found[model.model] = model.published
    return found


def restate(
    session: Session, request_id: UUID, destroyed: Sequence[Destruction], *, now: datetime
) -> Certificate | None:
    """A newer certificate with what has been destroyed since, and otherwise what the present one
    says: the rows that it was written from may be gone. None if the request has none."""
    present = newest(session, request_id)
    if present is None:
        return None
    case = Statement.model_validate_json(present.payload).predicate
    claims = (*case.claims, wording.closed_claim(destroyed))
    limits = (*case.limits, wording.closed_limit())
    closed = case.model_copy(
        update={"destruction": tuple(destroyed), "claims": claims, "limits": limits}
    )
    return write(session, closed, now=now)


def write(session: Session, case: AnyCase, *, now: datetime) -> Certificate:
    """Stores the unsigned payload and logs its digest; both stand or fall with the transaction.

    If the request has a certificate already, the new one names it as replaced. Two writers for one
    request cannot both replace the same certificate: the second fails on the unique column.
    """
    previous, identity = newest(session, case.request), new_id()
    replaced = previous and Replaced(
        certificate=previous.id, payload_sha256=previous.payload_sha256
    )
    case = case.model_copy(update={"certificate": identity, "replaces": replaced})
    payload = statement_of(case).payload()
    certificate = Certificate(
        id=identity,
        request_id=case.request,
        state=CertificateState.UNSIGNED,
        payload=payload,
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        replaces_id=previous.id if previous else None,
        created_at=now,
    )
    session.add(certificate)
    append(
        session,
        CertificateWritten(
            controller=case.controller,
            certificate=certificate.id,
            request=case.request,
            payload_sha256=certificate.payload_sha256,
            replaces=certificate.replaces_id,
        ),
        now=now,
    )
    return certificate
