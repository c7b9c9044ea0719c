"""The sealer's part in certificates: what waits is issued with the next signed head."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.certificates import verify
from app.certificates.tables import Certificate, CertificateState
from app.runtime import Runtime
from app.signing import open_signer
from tests.erasure.conftest import Cases, cases, model
from workers.sealing import Sealer

__all__ = ["cases", "model"]


@pytest.fixture
def sealer(runtime: Runtime) -> Sealer:
    if not runtime.settings.is_single_machine:
        pytest.skip("a fleet's sealer is given its key")
    return Sealer(runtime)


def soon(seconds: int = 1) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_one_tick_of_the_sealer_issues_what_was_written_before_it(
    sealer: Sealer, cases: Cases, api: TestClient, runtime: Runtime
) -> None:
    request = cases.submit("nobody")
    sealer.seal(soon())
    signer = open_signer(runtime.settings)
    assert signer is not None
    bundle = api.get(f"/api/v1/erasure-requests/{request}/certificate").content
    assert verify.verify(bundle, [signer.public], request=request).outcome == "no_match"


def test_a_certificate_that_cannot_be_issued_is_an_error_once_and_not_each_second(
    sealer: Sealer, cases: Cases, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    for customer in ("nobody", "nobody else"):
        cases.submit(customer)
    with runtime.database.write() as session:
        first = session.scalars(select(Certificate).order_by(Certificate.id).limit(1)).one()
        first.payload = first.payload.replace(b"no_samples", b"held_out_only")
    caplog.set_level(logging.ERROR, "lotus.certificates")
    for second in range(5):
        sealer.seal(soon(second))
    assert [one.getMessage() for one in caplog.records] == ["certificate cannot be issued"]
    with runtime.database.read() as session:
        states = session.scalars(select(Certificate.state).order_by(Certificate.id)).all()
    assert states == [CertificateState.UNSIGNED, CertificateState.ISSUED]
