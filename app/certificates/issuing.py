"""Signs what was written: an unsigned certificate becomes an issued one.

A certificate can be issued once its entry of the audit log stands under a stored checkpoint. It is
signed outside of any transaction, since the key may be a network away, checked as its reader will
check it, and stored with its proof in one short transaction. Ended at any point before that,
nothing has happened; done twice, the second finds nothing to do.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from app.audit import checkpoints, notes, proofs
from app.audit.kinds import Kind
from app.audit.notes import BadNote
from app.audit.tables import AuditCheckpoint, AuditEntry
from app.certificates import dsse, verify
from app.certificates.tables import Certificate, CertificateState
from app.db import Database
from app.ids import certificate_id
from app.observability import fields
from app.restore.service import is_paused
from app.signing import Signer

log = logging.getLogger("lotus.certificates")

AT_ONCE = 250
# So many failures of the key in a row mean that it is away, and not that one payload is at fault.
KEY_IS_AWAY = 3


@dataclass(frozen=True)
class Issued:
    """`faulty` cannot be issued: their payload, their entry and the signature do not fit."""

    count: int
    faulty: tuple[UUID, ...]


@dataclass(frozen=True)
class _Covered:
    """A certificate, and where its entry stands under the checkpoint."""

    id: UUID
    payload: bytes
    entry: bytes
    index: int
    size: int
    proof: str


@dataclass(frozen=True)
class _Signed:
    covered: _Covered
    envelope: bytes


def issue(
    database: Database,
    signer: Signer,
    *,
    now: datetime,
    except_for: Collection[UUID] = (),
    at_once: int = AT_ONCE,
) -> Issued:
    """Everything that can be issued, earliest first, `at_once` in one transaction.

    A certificate that cannot be issued keeps no other from it; the caller may leave it out of the
    next call. Raises what the signer raised if it seems to be away; what had been signed before is
    stored.
    """
    count, faulty, after = 0, list[UUID](), None
    while True:
        with database.read() as session:
            page = _unsigned(session, after, at_once)
            checkpoint = _checkpoint(session, signer) if page else None
            if checkpoint is None:
                break
            wanted = {one: request for one, request in page if one not in except_for}
            covered = _covered(session, wanted, checkpoint)
        after = page[-1][0]
        signed, wrong, away = _sign(covered, signer)
        faulty += wrong
        count += _store(database, signed, now)
        if away is not None:
            raise away
    if count:
        log.info("certificates issued", extra=fields(certificates=count))
    return Issued(count, tuple(faulty))


def _checkpoint(session: Session, signer: Signer) -> AuditCheckpoint | None:
    """The newest, if the same key signed it, so that one key checks the whole bundle: after a
    change of keys a checkpoint by the new one follows at once. None while the service is paused:
    what is handed out cannot be taken back; nor while the
    log is rewound, since nobody may be shown a tree that an earlier checkpoint contradicts."""
    newest = checkpoints.newest(session)
    if newest is None or is_paused(session) or checkpoints.is_rewound(session):
        return None
    try:
        ours = notes.parse(newest.note).verify(signer.public)
    except BadNote:
        return None
    return newest if ours else None


def _unsigned(session: Session, after: UUID | None, limit: int) -> list[tuple[UUID, UUID]]:
    """Certificates and their requests. Ids are time-ordered."""
    query = select(Certificate.id, Certificate.request_id).where(
        Certificate.state == CertificateState.UNSIGNED
    )
    if after is not None:
        query = query.where(Certificate.id > after)
    rows = session.execute(query.order_by(Certificate.id).limit(limit))
    return [(certificate, request) for certificate, request in rows]


def _covered(
    session: Session, page: Mapping[UUID, UUID], checkpoint: AuditCheckpoint
) -> list[_Covered]:
    size = checkpoint.tree_size
    written = session.execute(
        select(AuditEntry.index, AuditEntry.body).where(
            AuditEntry.request_id.in_(set(page.values())),
            AuditEntry.kind == Kind.CERTIFICATE_WRITTEN,
            AuditEntry.index < size,
        )
    )
    entries = {json.loads(body)["facts"]["certificate"]: (index, body) for index, body in written}
    found = {one: entries[certificate_id(one)] for one in page if certificate_id(one) in entries}
    payloads = session.execute(
        select(Certificate.id, Certificate.payload)
        .where(Certificate.id.in_(found))
        .order_by(Certificate.id)
    )
    return [
        _Covered(
            id=identity,
            payload=payload,
            entry=body,
            index=index,
            size=size,
            proof=notes.proof_text(index, proofs.inclusion(session, index, size), checkpoint.note),
        )
        for identity, payload in payloads
        for index, body in [found[identity]]
    ]


def _sign(
    covered: Sequence[_Covered], signer: Signer
) -> tuple[list[_Signed], list[UUID], Exception | None]:
    """What was signed, what is faulty, and why the key seems to be away."""
    signed: list[_Signed] = []
    faulty: list[UUID] = []
    in_a_row = 0
    for one in covered:
        try:
            envelope = dsse.envelope(one.payload, signer)
        except Exception as error:
            log.warning(
                "certificate not signed",
                extra=fields(certificate=certificate_id(one.id), error=type(error).__name__),
            )
            in_a_row += 1
            if in_a_row == KEY_IS_AWAY:
                return signed, faulty, error
            continue
        in_a_row = 0
        bundle = dsse.bundle(one.entry, envelope, one.proof)
        try:
            verify.verify(bundle, [signer.public])
        except verify.Flaw as flaw:
            log.error(
                "certificate cannot be issued",
                extra=fields(certificate=certificate_id(one.id), flaw=flaw.reason),
            )
            faulty.append(one.id)
            continue
        signed.append(_Signed(one, envelope))
    return signed, faulty, None


def _store(database: Database, signed: Sequence[_Signed], now: datetime) -> int:
    """Only where nobody else was faster: a bundle that was handed out never changes."""
    if not signed:
        return 0
    with database.write() as session:
        still = set(
            session.scalars(
                select(Certificate.id)
                .where(
                    Certificate.id.in_([one.covered.id for one in signed]),
                    Certificate.state == CertificateState.UNSIGNED,
                )
                .order_by(Certificate.id)
                .with_for_update()
            )
        )
        values = [
            {
                "certificate": one.covered.id,
                "signed": one.envelope,
                "index": one.covered.index,
                "size": one.covered.size,
                "shown": one.covered.proof,
            }
            for one in signed
            if one.covered.id in still
        ]
        if values:
            session.connection().execute(
                update(Certificate)
                .where(Certificate.id == bindparam("certificate"))
                .values(
                    state=CertificateState.ISSUED,
                    envelope=bindparam("signed"),
                    log_index=bindparam("index"),
                    checkpoint_size=bindparam("size"),
                    proof=bindparam("shown"),
                    issued_at=now,
                ),
                values,
            )
    return len(values)
