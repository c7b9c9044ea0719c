import json
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import undefer

from app.audit.tables import PendingEntry
from app.certificates.service import newest, write
from app.certificates.statement import statement_of
from app.certificates.tables import Certificate, CertificateState
from app.db import Database
from app.erasure.states import RequestState
from app.erasure.tables import ErasureRequest, Regulation
from app.ids import certificate_id
from app.keys.tables import Controller
from tests.certificates.facts import CONTROLLER, REQUEST, at, no_match, unlearned, uuid

OTHER_REQUEST = uuid(99)
NOW = at(2)


@pytest.fixture
def requests(database: Database) -> Iterator[Database]:
    """Two requests that certificates may be written for."""
    with database.write() as session:
        session.execute(
            insert(Controller), [{"id": CONTROLLER, "name": "default", "created_at": NOW}]
        )
        for number in (REQUEST, OTHER_REQUEST):
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
    yield database


def stored(database: Database) -> list[Certificate]:
    with database.read() as session:
        query = select(Certificate).options(undefer(Certificate.payload))
        return list(session.scalars(query.order_by(Certificate.created_at)))


def test_the_exact_payload_is_stored_unsigned(requests: Database) -> None:
    with requests.write() as session:
        write(session, unlearned(), now=NOW)
    [certificate] = stored(requests)
    numbered = unlearned(certificate=certificate.id)
    assert certificate.payload == statement_of(numbered).payload()
    assert certificate.payload_sha256 == sha256(certificate.payload).hexdigest()
    assert certificate.state is CertificateState.UNSIGNED
    assert (certificate.request_id, certificate.created_at) == (REQUEST, NOW)
    assert (certificate.log_index, certificate.issued_at) == (None, None)
    assert certificate.replaces_id is None


def test_its_digest_is_logged_in_the_same_transaction(requests: Database) -> None:
    with requests.write() as session:
        write(session, unlearned(), now=NOW)
    [certificate] = stored(requests)
    with requests.read() as session:
        entry = session.scalars(select(PendingEntry)).one()
    assert entry.kind == "certificates:certificate:written"
    assert (entry.controller_id, entry.request_id) == (CONTROLLER, REQUEST)
    facts = json.loads(entry.body)["facts"]
    assert facts["payload_sha256"] == certificate.payload_sha256
    assert facts["certificate"] == certificate_id(certificate.id)
    assert facts["replaces"] is None


def test_a_rolled_back_certificate_leaves_neither_row_nor_entry(requests: Database) -> None:
    with pytest.raises(InterruptedError), requests.write() as session:
        write(session, unlearned(), now=NOW)
        session.flush()
        raise InterruptedError
    assert stored(requests) == []
    with requests.read() as session:
        assert session.scalars(select(PendingEntry)).all() == []


def test_each_newer_certificate_names_the_one_it_replaces(requests: Database) -> None:
    for day in (2, 3, 4):
        with requests.write() as session:
            write(session, unlearned(), now=at(day))
    first, second, third = stored(requests)
    assert [first.replaces_id, second.replaces_id, third.replaces_id] == [
        None,
        first.id,
        second.id,
    ]
    named = json.loads(third.payload)["predicate"]["replaces"]
    assert named == {
        "certificate": certificate_id(second.id),
        "payload_sha256": second.payload_sha256,
    }
    with requests.read() as session:
        found = newest(session, REQUEST)
    assert found is not None and found.id == third.id


def test_two_certificates_in_one_transaction_follow_each_other(requests: Database) -> None:
    with requests.write() as session:
        first = write(session, unlearned(), now=NOW)
        second = write(session, unlearned(), now=NOW)
        assert second.replaces_id == first.id


def test_another_request_s_certificate_is_not_replaced(requests: Database) -> None:
    with requests.write() as session:
        write(session, unlearned(), now=NOW)
    with requests.write() as session:
        other = write(session, no_match(request=OTHER_REQUEST), now=NOW + timedelta(hours=1))
        assert other.replaces_id is None
    with requests.read() as session:
        assert newest(session, uuid(1234)) is None


def test_one_certificate_cannot_be_replaced_twice(requests: Database) -> None:
    with requests.write() as session:
        write(session, unlearned(), now=NOW)
        second = write(session, unlearned(), now=NOW)
        replaced = second.replaces_id
    with pytest.raises(IntegrityError), requests.write() as session:
        session.add(
            Certificate(
                request_id=REQUEST,
                state=CertificateState.UNSIGNED,
                payload=b"{}",
                payload_sha256="0" * 64,
                replaces_id=replaced,
                created_at=NOW,
            )
        )
