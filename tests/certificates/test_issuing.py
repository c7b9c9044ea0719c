"""From the written payload to a bundle that a third party can check."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import undefer

from app.audit.tables import AuditEntry, PendingEntry
from app.certificates import issuing, reading, verify
from app.certificates.service import write
from app.certificates.tables import Certificate, CertificateState
from app.db import Database
from app.erasure.states import RequestState
from app.erasure.tables import ErasureRequest, Regulation
from app.ids import certificate_id
from app.keys.tables import Controller
from app.restore.tables import PauseReason, ServiceState
from app.signing import Signer
from tests.audit.logs import Sealed, sequence, signer
from tests.certificates.facts import CONTROLLER, REQUEST, at, no_match, unlearned, uuid

NOW, LATER = at(2), at(3)
MANY = 25


@pytest.fixture
def sealed(database: Database, tmp_path: Path) -> Iterator[Sealed]:
    """Requests that certificates may be written for, and what seals their log."""
    with database.write() as session:
        session.add(Controller(id=CONTROLLER, name="default", created_at=NOW))
        session.flush()
        for number in (REQUEST, *(uuid(1000 + n) for n in range(MANY))):
            session.add(
                ErasureRequest(
                    id=number,
                    controller_id=CONTROLLER,
                    regulation=Regulation.GDPR,
                    state=RequestState.RECEIVED,
                    submitted_at=NOW,
                    received_at=NOW,
                    due_at=NOW,
                    paused=[],
                    body_digest=b"d" * 32,
                    created_at=NOW,
                    updated_at=NOW,
                )
            )
    yield Sealed(database, tmp_path)


def written(database: Database) -> list[Certificate]:
    with database.read() as session:
        query = select(Certificate).options(undefer(Certificate.envelope))
        return list(session.scalars(query.order_by(Certificate.id)))


def write_one(database: Database) -> None:
    with database.write() as session:
        write(session, unlearned(), now=NOW)


def write_many(database: Database) -> None:
    for number in range(MANY):
        with database.write() as session:
            write(session, no_match(request=uuid(1000 + number)), now=NOW)


def bundle_of(database: Database, certificate: Certificate) -> bytes:
    with database.read() as session:
        return reading.bundle(session, certificate.id)


def states(database: Database) -> list[CertificateState]:
    return [one.state for one in written(database)]


def test_a_certificate_is_issued_once_a_checkpoint_covers_its_entry(sealed: Sealed) -> None:
    database = sealed.database
    sealed.seal()
    write_one(database)
    assert issuing.issue(database, sealed.signer, now=LATER).count == 0
    sequence(database)
    assert issuing.issue(database, sealed.signer, now=LATER).count == 0
    checkpoint = sealed.seal(NOW + timedelta(hours=1))
    assert checkpoint is not None
    assert issuing.issue(database, sealed.signer, now=LATER).count == 1
    [certificate] = written(database)
    assert (certificate.state, certificate.issued_at) == (CertificateState.ISSUED, LATER)
    found = verify.verify(bundle_of(database, certificate), [sealed.signer.public])
    assert found.certificate == certificate_id(certificate.id)
    assert (found.log_index, found.log_size) == (certificate.log_index, checkpoint.tree_size)


def test_a_bundle_never_changes_whatever_the_log_grows_to(sealed: Sealed) -> None:
    database = sealed.database
    write_one(database)
    sealed.seal()
    issuing.issue(database, sealed.signer, now=LATER)
    [certificate] = written(database)
    before = bundle_of(database, certificate)
    write_many(database)
    sealed.seal(NOW + timedelta(hours=1))
    assert issuing.issue(database, sealed.signer, now=at(4)).count == MANY
    assert bundle_of(database, certificate) == before
    assert written(database)[0].issued_at == LATER


def test_issuing_adds_nothing_to_the_log(sealed: Sealed) -> None:
    """Else each issuance would need another checkpoint."""
    database = sealed.database
    write_one(database)
    checkpoint = sealed.seal()
    issuing.issue(database, sealed.signer, now=LATER)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(PendingEntry)) == 0
        size = session.scalar(select(func.count()).select_from(AuditEntry))
    assert checkpoint is not None and size == checkpoint.tree_size


class Watched:
    """A key that notes what is signed, and does what a test wants at each signature."""

    def __init__(self, inner: Signer) -> None:
        self.inner, self.signed = inner, list[bytes]()

    @property
    def public(self) -> bytes:
        return self.inner.public

    def sign(self, message: bytes) -> bytes:
        self.signed.append(message)
        self.before(len(self.signed))
        return self.inner.sign(message)

    def before(self, number: int) -> None:
        pass


def test_many_are_issued_in_parts_and_the_earliest_first(sealed: Sealed) -> None:
    database = sealed.database
    write_many(database)
    sealed.seal()
    key = Watched(sealed.signer)
    assert issuing.issue(database, key, now=LATER, at_once=10).count == MANY
    earliest_first = [certificate_id(one.id).encode() for one in written(database)]
    for message, identity in zip(key.signed, earliest_first, strict=True):
        assert identity in message
    for certificate in written(database):
        verify.verify(bundle_of(database, certificate), [sealed.signer.public])


def test_no_transaction_is_open_while_the_key_signs(sealed: Sealed) -> None:
    class Looking(Watched):
        def before(self, number: int) -> None:
            assert sealed.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]

    write_many(sealed.database)
    sealed.seal()
    key = Looking(sealed.signer)
    assert issuing.issue(sealed.database, key, now=LATER).count == MANY
    assert len(key.signed) == MANY


def spoil(database: Database, number: int) -> Certificate:
    """Somebody changes what is to be signed."""
    certificate = written(database)[number]
    with database.write() as session:
        row = session.get_one(Certificate, certificate.id)
        row.payload = row.payload.replace(b'"identity_count":1', b'"identity_count":2')
    return certificate


def test_one_bad_certificate_keeps_no_other_from_being_issued(sealed: Sealed) -> None:
    database = sealed.database
    write_many(database)
    bad = spoil(database, 0)
    sealed.seal()
    result = issuing.issue(database, sealed.signer, now=LATER, at_once=10)
    assert (result.count, result.faulty) == (MANY - 1, (bad.id,))
    assert states(database) == [CertificateState.UNSIGNED] + [CertificateState.ISSUED] * (MANY - 1)


def test_what_is_known_to_be_bad_is_not_signed_again(sealed: Sealed) -> None:
    write_many(sealed.database)
    bad = spoil(sealed.database, 3)
    sealed.seal()
    key = Watched(sealed.signer)
    issuing.issue(sealed.database, key, now=LATER, except_for={bad.id})
    assert len(key.signed) == MANY - 1
    assert issuing.issue(sealed.database, key, now=LATER, except_for={bad.id}).count == 0
    assert len(key.signed) == MANY - 1


class KeyAway(Exception):
    pass


def test_a_key_that_is_away_is_noticed_and_what_it_signed_before_is_kept(sealed: Sealed) -> None:
    class Going(Watched):
        def before(self, number: int) -> None:
            if number > 4:
                raise KeyAway

    write_many(sealed.database)
    sealed.seal()
    key = Going(sealed.signer)
    with pytest.raises(KeyAway):
        issuing.issue(sealed.database, key, now=LATER)
    assert len(key.signed) == 4 + issuing.KEY_IS_AWAY
    assert states(sealed.database).count(CertificateState.ISSUED) == 4
    assert issuing.issue(sealed.database, sealed.signer, now=LATER).count == MANY - 4


def test_one_failure_of_the_key_delays_one_certificate(sealed: Sealed) -> None:
    class Stumbling(Watched):
        def before(self, number: int) -> None:
            if number == 2:
                raise KeyAway

    write_many(sealed.database)
    sealed.seal()
    assert issuing.issue(sealed.database, Stumbling(sealed.signer), now=LATER).count == MANY - 1
    assert states(sealed.database)[1] is CertificateState.UNSIGNED


def test_a_key_that_signs_something_else_issues_nothing(sealed: Sealed) -> None:
    class Wrong(Watched):
        def sign(self, message: bytes) -> bytes:
            return super().sign(b"something else")

    write_one(sealed.database)
    sealed.seal()
    result = issuing.issue(sealed.database, Wrong(sealed.signer), now=LATER)
    assert (result.count, len(result.faulty)) == (0, 1)
    assert states(sealed.database) == [CertificateState.UNSIGNED]


def test_a_crash_after_the_signature_leaves_it_to_the_next_call(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object) -> int:
        raise InterruptedError

    write_one(sealed.database)
    sealed.seal()
    with monkeypatch.context() as crashing:
        crashing.setattr(issuing, "_store", crash)
        with pytest.raises(InterruptedError):
            issuing.issue(sealed.database, sealed.signer, now=LATER)
    assert states(sealed.database) == [CertificateState.UNSIGNED]
    assert issuing.issue(sealed.database, sealed.signer, now=LATER).count == 1


def test_of_two_at_once_the_first_to_store_stays(sealed: Sealed) -> None:
    class Slow(Watched):
        def before(self, number: int) -> None:
            if number == 1:
                assert issuing.issue(sealed.database, sealed.signer, now=at(3)).count == 1

    write_one(sealed.database)
    sealed.seal()
    assert issuing.issue(sealed.database, Slow(sealed.signer), now=at(4)).count == 0
    [certificate] = written(sealed.database)
    assert certificate.issued_at == at(3)


def test_a_paused_service_issues_nothing(sealed: Sealed) -> None:
    write_one(sealed.database)
    sealed.seal()
    with sealed.database.write() as session:
        session.execute(text("DELETE FROM service_state"))
        session.add(ServiceState(id=1, paused_at=NOW, pause_reason=next(iter(PauseReason))))
    assert issuing.issue(sealed.database, sealed.signer, now=LATER).count == 0


def test_a_new_key_issues_under_its_own_checkpoint_only(sealed: Sealed) -> None:
    write_one(sealed.database)
    sealed.seal()
    other = signer(9)
    assert issuing.issue(sealed.database, other, now=LATER) == issuing.Issued(0, ())
    sealed.signer = other
    sealed.seal(NOW + timedelta(hours=1))
    assert issuing.issue(sealed.database, other, now=LATER).count == 1
    [certificate] = written(sealed.database)
    verify.verify(bundle_of(sealed.database, certificate), [other.public])
