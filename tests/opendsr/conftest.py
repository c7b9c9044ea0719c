"""A controller before a processor: one in this process on each database, or, where
LOTUS_CONFORMANCE_URL names it, one that runs elsewhere."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi.testclient import TestClient

from app.config import Settings
from app.ids import model_id
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.conftest import settings as plain_settings
from tests.databases import DIALECTS
from tests.erasure.conftest import Cases, cases, hand, model, now
from tests.opendsr.controller import Controller
from tests.webhooks.conftest import Office, certificate, network, office, receiver

__all__ = [
    "Cases",
    "Office",
    "cases",
    "certificate",
    "hand",
    "model",
    "model_id",
    "network",
    "now",
    "office",
    "plain_settings",
    "receiver",
]

DOMAIN = "erasure.example.org"
URL = os.environ.get("LOTUS_CONFORMANCE_URL")


@pytest.fixture(params=["remote"] if URL else DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "remote" and "processor" not in request.fixturenames:
        pytest.skip("looks behind the processor's front door")
    return name


@dataclass(frozen=True)
class Files:
    key: Path
    certificate: Path
    authority: x509.Certificate


def issue(folder: Path, domain: str = DOMAIN, *, days: int = 90, bits: int = 2048) -> Files:
    """A key, and a certificate that an authority of the test's own has issued for the domain."""
    now = datetime.now(UTC)

    def signed(name: str, key: object, issuer: str, by: object, authority: bool) -> object:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())  # type: ignore[attr-defined]
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=100))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            names = x509.SubjectAlternativeName([x509.DNSName(domain)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(by, hashes.SHA256())  # type: ignore[arg-type]

    above, own = generate_private_key(65537, 2048), generate_private_key(65537, bits)
    authority = signed("an authority", above, "an authority", above, True)
    leaf = signed(domain, own, "an authority", above, False)
    folder.mkdir(parents=True, exist_ok=True)
    key, chain = folder / "opendsr.key", folder / "opendsr.crt"
    key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    chain.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in (leaf, authority)))
    return Files(key, chain, authority)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return issue(tmp_path_factory.mktemp("opendsr"))


@pytest.fixture
def settings(plain_settings: Settings, files: Files) -> Settings:
    """As of a service under a name of its own, with a certificate that others believe."""
    return plain_settings.model_copy(
        update={
            "public_url": f"https://{DOMAIN}",
            "opendsr_key": files.key,
            "opendsr_certificate": str(files.certificate),
        }
    )


@pytest.fixture
def controller(
    api: TestClient, runtime: Runtime, model: str, make_key: MakeKey, files: Files
) -> Controller:
    """Its data: rows of ada (4), ben (3) and cleo (2) that one model was trained on."""
    return Controller(api, make_key(), files.authority, known="ada")


@pytest.fixture
def processor(request: pytest.FixtureRequest, dialect: str) -> Iterator[Controller]:
    """For tests that need nothing but the front door: the same, or a service that runs elsewhere.
    Without somebody who is known there, tests that need a person in the data are left out."""
    if dialect != "remote":
        yield request.getfixturevalue("controller")
        return
    assert URL is not None
    kind, _, value = os.environ.get("LOTUS_CONFORMANCE_KNOWN", "").partition(":")
    with httpx2.Client(base_url=URL, timeout=60) as client:
        key = os.environ["LOTUS_CONFORMANCE_KEY"]
        yield Controller(
            client, key, None, value or None, kind if value else "controller_customer_id"
        )
