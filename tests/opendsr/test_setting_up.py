"""Keys and certificates: made, given, renewed, changed, broken."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi.testclient import TestClient
from pydantic import ValidationError

from app.config import Settings
from app.doctor import opendsr as doctor
from app.doctor.findings import Level
from app.keyring import BadKey
from app.main import create_app
from app.opendsr import certificate, key_files
from app.opendsr.signing import seal_of
from tests.cli.conftest import Result, environment, lotus, lotus_here
from tests.conftest import MakeKey
from tests.opendsr.conftest import DOMAIN, Files, issue
from tests.opendsr.controller import V2, Controller, NotBelieved

__all__ = ["environment", "lotus", "lotus_here"]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    """A single machine with no setting."""
    return Settings(data_dir=tmp_path / "alone")


@pytest.fixture
def own_files(files: Files, tmp_path: Path) -> Files:
    """Copies, for tests that change them."""
    key, chain = tmp_path / "own.key", tmp_path / "own.crt"
    shutil.copy(files.key, key)
    shutil.copy(files.certificate, chain)
    return Files(key, chain, files.authority)


def named(settings: Settings, files: Files, **more: Any) -> Settings:
    return settings.model_copy(
        update={
            "public_url": f"https://{DOMAIN}",
            "opendsr_key": files.key,
            "opendsr_certificate": str(files.certificate),
            **more,
        }
    )


@contextmanager
def serving(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def test_a_single_machine_makes_a_key_for_itself_once_and_says_that_it_is_its_own(
    alone: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    seal = seal_of(alone)
    assert (seal.domain, seal.certificate.is_self_signed) == ("localhost", True)
    assert "controllers refuse it" in caplog.text
    path = key_files.own_path(alone)
    assert path.stat().st_mode & 0o077 == 0
    assert certificate.load(alone).certificate == seal.certificate
    found = doctor.signing(alone, now=now())
    assert (found.level, "signed by itself" in found.says) == (Level.WARNING, True)


def test_a_machine_that_was_given_a_name_has_its_own_certificate_issued_to_it(
    alone: Settings,
) -> None:
    before = seal_of(alone)
    moved = alone.model_copy(update={"public_url": "https://Erasure.example.org:8443".lower()})
    after = seal_of(moved)
    assert after.domain == "erasure.example.org"
    assert after.key.public_key() == before.key.public_key()


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_fleet_without_a_key_offers_nothing_and_says_why(
    plain_settings: Settings, make_key: MakeKey
) -> None:
    with serving(plain_settings) as client:
        for method, path in (("GET", "/discovery"), ("POST", "/requests"), ("GET", "/requests/1")):
            answer = client.request(
                method,
                f"{V2}{path}",
                content=b"{}",
                headers={
                    "Authorization": f"Bearer {make_key()}",
                    "Content-Type": "application/json",
                },
            )
            assert answer.status_code == 503, answer.text
            assert answer.json()["error"]["errors"][0]["reason"] == "opendsr-not-set-up"
            assert "x-opendsr-signature" not in answer.headers
    assert doctor.signing(plain_settings, now=now()).says == "not used"


def test_a_certificate_renewed_under_a_running_service_is_used_without_a_restart(
    plain_settings: Settings, own_files: Files, tmp_path: Path, make_key: MakeKey
) -> None:
    with serving(named(plain_settings, own_files)) as client:
        before = Controller(client, make_key(), own_files.authority)
        newer = issue(tmp_path / "newer")
        shutil.copy(newer.certificate, own_files.certificate)
        # Between the two copies nothing fits: the seal that was read goes on.
        before.call("GET", f"{V2}/discovery")
        shutil.copy(newer.key, own_files.key)
        with pytest.raises(NotBelieved):
            before.call("GET", f"{V2}/discovery")
        after = Controller(client, before.key, newer.authority)
    assert after.verifier.leaf != before.verifier.leaf


def test_an_old_certificate_is_served_as_long_as_it_is_named(
    plain_settings: Settings, files: Files, tmp_path: Path, make_key: MakeKey
) -> None:
    old = certificate.load(named(plain_settings, files)).certificate
    newer = issue(tmp_path / "newer")
    both = f"{newer.certificate}, {files.certificate}"
    with serving(named(plain_settings, newer, opendsr_certificate=both)) as client:
        controller = Controller(client, make_key(), newer.authority)
        served = client.get(f"/opendsr/certificates/{old.fingerprint}.pem")
        assert served.content == old.pem
        assert served.headers["content-type"] == "application/x-pem-file"
        assert client.get(f"/opendsr/certificates/{'0' * 64}.pem").status_code == 404
    assert controller.verifier.leaf != old.leaf


def broken(kind: str, files: Files, folder: Path) -> Files:
    folder.mkdir(exist_ok=True)
    key, chain = folder / "key", folder / "crt"
    shutil.copy(files.key, key)
    shutil.copy(files.certificate, chain)
    if kind == "no key":
        key.unlink()
    elif kind == "no certificate":
        chain.unlink()
    elif kind == "no PEM":
        key.write_text("secret words")
    elif kind == "no PEM certificate":
        chain.write_text("words")
    elif kind == "another kind of key":
        key.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
        )
    elif kind == "another key":
        shutil.copy(issue(folder / "other").key, key)
    elif kind == "a short key":
        return issue(folder / "short", bits=1024)
    elif kind == "another domain":
        return issue(folder / "elsewhere", "elsewhere.example.org")
    elif kind == "a wildcard":
        return issue(folder / "wild", "*.example.org")
    return Files(key, chain, files.authority)


@pytest.mark.parametrize(
    "kind",
    [
        "no key",
        "no certificate",
        "no PEM",
        "no PEM certificate",
        "another kind of key",
        "another key",
        "a short key",
        "another domain",
        "a wildcard",
    ],
)
def test_files_that_cannot_be_used_are_named_and_nothing_is_answered_with_them(
    alone: Settings, files: Files, tmp_path: Path, kind: str
) -> None:
    settings = named(alone, broken(kind, files, tmp_path / "broken"))
    with pytest.raises(BadKey, match="LOTUS_OPENDSR_") as raised:
        seal_of(settings)
    assert "secret words" not in str(raised.value)
    found = doctor.signing(settings, now=now())
    assert (found.level, found.says) == (Level.PROBLEM, str(raised.value))


@pytest.mark.parametrize(
    ("days", "level", "said"),
    [
        (90, Level.OK, "valid until"),
        (29, Level.WARNING, "expires on"),
        (-1, Level.PROBLEM, "has expired"),
    ],
)
def test_the_doctor_says_when_a_certificate_ends(
    alone: Settings, tmp_path: Path, days: int, level: Level, said: str
) -> None:
    settings = named(alone, issue(tmp_path / "issued", days=days))
    found = doctor.signing(settings, now=now() + timedelta(minutes=1))
    assert (found.level, said in found.says) == (level, True)
    assert bool(found.action) is (level is not Level.OK)


def test_key_and_certificate_are_named_together(tmp_path: Path) -> None:
    for given in ({"opendsr_key": tmp_path / "x"}, {"opendsr_certificate": "x"}):
        with pytest.raises(ValidationError, match="need each other"):
            Settings(data_dir=tmp_path, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "erasure.example.org",
        "https://erasure.example.org/",
        "https://erasure.example.org/path",
        "https://user@erasure.example.org",
        "ftp://erasure.example.org",
        "https://",
    ],
)
def test_a_public_url_is_an_origin_and_nothing_more(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(data_dir=tmp_path, public_url=url)


def test_an_empty_public_url_is_none(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path, public_url="").public_url is None


def test_the_command_line_makes_renews_and_changes_what_a_machine_signs_with(
    lotus: Callable[..., Result], tmp_path: Path
) -> None:
    none = lotus("opendsr", "certificate")
    assert (none.code, "--create makes one" in none.err) == (1, True)
    made = lotus("opendsr", "certificate", "--create", "--json").document
    assert (made["domain"], made["self_signed"], made["also_served"]) == ("localhost", True, [])
    again = lotus("opendsr", "certificate", "--create", "--json").document
    assert again == made
    renewed = lotus("opendsr", "certificate", "--renew", "--json").document
    assert (renewed["sha256"] != made["sha256"], renewed["also_served"]) == (True, [])
    pem = tmp_path / "out.pem"
    changed = lotus("opendsr", "certificate", "--new-key", "--write", str(pem), "--json").document
    assert changed["also_served"] == [renewed["sha256"]]
    assert pem.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
    assert b"PRIVATE" not in pem.read_bytes()
    assert changed["sha256"] in lotus("opendsr", "certificate").out


def test_the_command_line_makes_the_files_that_the_settings_name_and_changes_none(
    lotus: Callable[..., Result], tmp_path: Path
) -> None:
    files = {
        "LOTUS_OPENDSR_KEY": str(tmp_path / "new" / "opendsr.key"),
        "LOTUS_OPENDSR_CERTIFICATE": str(tmp_path / "new" / "opendsr.crt"),
        "LOTUS_PUBLIC_URL": f"https://{DOMAIN}",
    }
    made = lotus("opendsr", "certificate", "--create", "--json", **files).document
    assert made["domain"] == DOMAIN
    assert lotus("opendsr", "certificate", "--create", "--json", **files).document == made
    refused = lotus("opendsr", "certificate", "--renew", **files)
    assert (refused.code, "the files are yours" in refused.err) == (1, True)
