"""Where the signing key may lie, and what is refused."""

import hashlib
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME

from app.audit.memory import memory_of
from app.config import Settings
from app.keyring import BadKey
from app.signing import RemoteSigner, key_id, make_key, open_signer, public_pem, read_public_pem
from tests.audit.logs import signer

FLEET = "postgresql+psycopg://lotus@nowhere/lotus"
SECRET = "A" * 43 + "="


def settings(folder: Path, **given: Any) -> Settings:
    return Settings(data_dir=folder / "data", **given)


def fleet(folder: Path, **given: Any) -> Settings:
    secrets = {"secret_key": SECRET, "pseudonym_key": f"k1:{SECRET}", "suppression_key": SECRET}
    return settings(folder, database_url=FLEET, **secrets, **given)


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    Ed25519PublicKey.from_public_bytes(public).verify(signature, message)


def test_a_single_machine_makes_a_key_for_itself_once(tmp_path: Path) -> None:
    first, second = (open_signer(settings(tmp_path)) for _ in range(2))
    assert first is not None and second is not None and first.public == second.public
    path = tmp_path / "data" / "keys" / "signing.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    verify(first.public, second.sign(b"message"), b"message")
    memory = memory_of(settings(tmp_path))
    assert memory is not None and memory.path == path.with_name("signing.pem.checkpoint")


def test_a_public_key_is_written_and_named_as_cryptography_does(tmp_path: Path) -> None:
    opened = open_signer(settings(tmp_path))
    assert opened is not None
    key = Ed25519PublicKey.from_public_bytes(opened.public)
    pem, der = (
        key.public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
        for form in (Encoding.PEM, Encoding.DER)
    )
    assert public_pem(opened.public) == pem.decode()
    assert key_id(opened.public) == hashlib.sha256(der).hexdigest()
    with pytest.raises(ValueError, match="32 bytes"):
        public_pem(opened.public[1:])


def test_a_fleet_makes_no_key_and_signs_nothing_without_one(tmp_path: Path) -> None:
    assert open_signer(fleet(tmp_path)) is None
    assert memory_of(fleet(tmp_path)) is None
    assert not (tmp_path / "data").exists()


def test_a_key_whose_file_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    for made in (settings, fleet):
        with pytest.raises(BadKey, match="LOTUS_SIGNING_KEY cannot be read"):
            open_signer(made(tmp_path, signing_key=str(tmp_path / "gone.pem")))
        assert not (tmp_path / "gone.pem").exists()


def test_a_path_and_its_uri_open_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert make_key(path)
    plain, by_uri = (
        open_signer(settings(tmp_path, signing_key=text)) for text in (str(path), f"file2:{path}")
    )
    assert plain is not None and by_uri is not None and plain.public == by_uri.public
    assert memory_of(settings(tmp_path, signing_key=f"file2:{path}")) is not None


@pytest.mark.parametrize(
    "command",
    [
        ["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"],
        ["genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ["genpkey", "-algorithm", "x25519"],
        ["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret"],
    ],
    ids=["rsa", "ecdsa", "x25519", "with a password"],
)
def test_any_other_key_is_refused_without_its_content(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "key.pem"
    subprocess.run(["openssl", *command, "-out", str(path)], check=True, capture_output=True)
    with pytest.raises(BadKey, match="LOTUS_SIGNING_KEY is not") as refused:
        open_signer(settings(tmp_path, signing_key=str(path)))
    assert path.read_text().split("\n")[1] not in str(refused.value)


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    for content in (b"", b"\x00\xff", public_pem(signer().public).encode()):
        path.write_bytes(content)
        with pytest.raises(BadKey, match="LOTUS_SIGNING_KEY is not a private key"):
            open_signer(settings(tmp_path, signing_key=str(path)))


@pytest.mark.parametrize(
    "uri", ["awskms:alias/key", "gcpkms:projects/p", "azurekms://v/k", "hsm:2", "gnupg:", "x-y:z"]
)
def test_a_uri_that_cannot_sign_with_ed25519_is_refused_with_those_that_can(
    tmp_path: Path, uri: str
) -> None:
    with pytest.raises(BadKey, match=r"Ed25519.* file2: and hv:"):
        open_signer(fleet(tmp_path, signing_key=uri))


class Vault:
    """Stands in for securesystemslib's signer of HashiCorp Vault."""

    @classmethod
    def from_priv_key_uri(cls, uri: str, public_key: Any, handler: Any = None) -> Any:
        assert uri == "hv:log/3" and public_key.keytype == "ed25519"
        made = types.SimpleNamespace(signature=None)
        made.sign = lambda message: types.SimpleNamespace(signature=signer().sign(message).hex())
        return made


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "hv", Vault)
    public = tmp_path / "public.pem"
    public.write_text(public_pem(signer().public))
    return {
        "signing_key": "hv:log/3",
        "signing_public_key": public,
        "sealer_file": tmp_path / "sealer" / "checkpoint",
    }


def test_a_key_elsewhere_signs_through_its_uri(tmp_path: Path, vault: dict[str, Any]) -> None:
    opened = open_signer(fleet(tmp_path, **vault))
    assert isinstance(opened, RemoteSigner) and opened.public == signer().public
    verify(opened.public, opened.sign(b"message"), b"message")
    memory = memory_of(fleet(tmp_path, **vault))
    assert memory is not None and memory.path == vault["sealer_file"]


@pytest.mark.parametrize(
    ("missing", "named"),
    [("signing_public_key", "LOTUS_SIGNING_PUBLIC_KEY"), ("sealer_file", "LOTUS_SEALER_FILE")],
)
def test_a_key_elsewhere_needs_its_public_half_and_a_place_for_the_memory(
    tmp_path: Path, vault: dict[str, Any], missing: str, named: str
) -> None:
    with pytest.raises(BadKey, match=named):
        open_signer(fleet(tmp_path, **{**vault, missing: None}))


def test_a_public_half_that_is_none_is_refused(tmp_path: Path, vault: dict[str, Any]) -> None:
    vault["signing_public_key"].write_text("nothing")
    with pytest.raises(BadKey, match="LOTUS_SIGNING_PUBLIC_KEY is not"):
        open_signer(fleet(tmp_path, **vault))
    vault["signing_public_key"].unlink()
    with pytest.raises(BadKey, match="LOTUS_SIGNING_PUBLIC_KEY cannot be read"):
        open_signer(fleet(tmp_path, **vault))


def test_a_missing_library_is_named(
    tmp_path: Path, vault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from securesystemslib.signer import VaultSigner

    if "hvac" in sys.modules:
        pytest.skip("the library is installed")
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "hv", VaultSigner)
    with pytest.raises(BadKey, match=r"needs a library: .*hvac"):
        open_signer(fleet(tmp_path, **vault))


def test_the_id_of_a_key_is_what_openssl_computes_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "public.pem"
    path.write_text(public_pem(signer().public))
    command = f"openssl pkey -pubin -in {path} -outform DER | openssl dgst -sha256 -r"
    digest = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
    assert key_id(signer().public) == digest.split()[0]
    assert read_public_pem(path.read_bytes()) == signer().public
