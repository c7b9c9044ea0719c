"""The service's signing key: Ed25519, in a file or behind the URI of a KMS or an HSM.

Whoever holds it can sign certificates and checkpoints of the audit log in the service's name, so
only the process that seals opens it. Everyone else needs the public half, and for that no
`cryptography`: loading it makes a process 7 MB larger, so only what opens a key does.
"""

import base64
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from app.config import Settings
from app.disk import sync_folder
from app.keyring import BadKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
# What stands before the key in the SubjectPublicKeyInfo of every Ed25519 key (RFC 8410).
_BEFORE_THE_KEY = bytes.fromhex("302a300506032b6570032100")
# Two letters at least, so that no path passes for one.
_URI = re.compile(r"([a-z][a-z0-9+.-]+):")
_IN_A_FILE = "file2"
# Kinds of URI whose keys can be Ed25519. The KMS of AWS, Google and Azure, and PKCS #11, have other
# algorithms, or securesystemslib does not speak Ed25519 with them.
_REMOTE = ("hv",)


class Signer(Protocol):
    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes (RFC 8032). A key that lies elsewhere may be away: any exception may come."""


class FileSigner:
    def __init__(self, private: "Ed25519PrivateKey") -> None:
        self._private = private

    @property
    def public(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)


class RemoteSigner:
    """A key that securesystemslib reaches; each signature is one call to where the key lies."""

    def __init__(self, public: bytes, remote: Any) -> None:
        self._public, self._remote = public, remote

    @property
    def public(self) -> bytes:
        return self._public

    def sign(self, message: bytes) -> bytes:
        return bytes.fromhex(self._remote.sign(message).signature)


def key_id(public: bytes) -> str:
    """SHA-256 of the key's DER SubjectPublicKeyInfo, in hexadecimal: from the PEM file alone."""
    return hashlib.sha256(_der(public)).hexdigest()


def public_pem(public: bytes) -> str:
    encoded = base64.b64encode(_der(public)).decode("ascii")
    return f"-----BEGIN PUBLIC KEY-----\n{encoded}\n-----END PUBLIC KEY-----\n"


def _der(public: bytes) -> bytes:
    if len(public) != PUBLIC_BYTES:
        raise ValueError("an Ed25519 public key has 32 bytes")
    return _BEFORE_THE_KEY + public


def read_public_pem(content: bytes) -> bytes:
    """The 32 bytes of a PEM file; BadKey for anything but an Ed25519 public key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise BadKey("not a public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadKey("not an Ed25519 key")
    return key.public_bytes_raw()


def key_path(settings: Settings) -> Path | None:
    """The file that the private key lies in; None for a URI, and where no key is set."""
    given = settings.signing_key
    if given is None:
        return settings.key_dir / "signing.pem" if settings.is_single_machine else None
    if (uri := _URI.match(given)) is None:
        return Path(given)
    return Path(given.removeprefix(f"{_IN_A_FILE}:")) if uri[1] == _IN_A_FILE else None


def open_signer(settings: Settings) -> Signer | None:
    """None in a fleet where no key is set: this process signs nothing. A single machine without
    the setting makes a key for itself, once. BadKey for a key that cannot be used."""
    path = key_path(settings)
    if path is not None:
        if settings.signing_key is None:
            make_key(path)
        return _from_file(path)
    return _from_uri(settings) if settings.signing_key is not None else None


def make_key(path: Path) -> bool:
    """A new key in this file, for its owner alone; False if one is there. Processes that make it
    together agree on one."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = _new_pem()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # fails if another process was first, unlike a rename
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    sync_folder(path.parent)
    return True


def _new_pem() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    made = Ed25519PrivateKey.generate()
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _from_file(path: Path) -> Signer:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise BadKey(f"LOTUS_SIGNING_KEY cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey("LOTUS_SIGNING_KEY is not a private key in PEM without a password") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise BadKey("LOTUS_SIGNING_KEY is not an Ed25519 key")
    return FileSigner(private)


def _from_uri(settings: Settings) -> Signer:
    from securesystemslib.exceptions import UnsupportedLibraryError
    from securesystemslib.signer import Signer as Remote
    from securesystemslib.signer import SSlibKey

    uri = settings.signing_key or ""
    if uri.partition(":")[0] not in _REMOTE:
        raise BadKey(
            "LOTUS_SIGNING_KEY is neither a path nor a URI that signs with Ed25519: of those that "
            f"securesystemslib knows, {_IN_A_FILE}: and {', '.join(f'{kind}:' for kind in _REMOTE)}"
        )
    if settings.signing_public_key is None:
        raise BadKey("LOTUS_SIGNING_PUBLIC_KEY must name the public key's PEM file beside a URI")
    if settings.sealer_file is None:
        raise BadKey("LOTUS_SEALER_FILE must be set where LOTUS_SIGNING_KEY is a URI")
    try:
        public = read_public_pem(settings.signing_public_key.read_bytes())
    except OSError as error:
        raise BadKey(f"LOTUS_SIGNING_PUBLIC_KEY cannot be read: {error.strerror}") from None
    except BadKey as error:
        raise BadKey(f"LOTUS_SIGNING_PUBLIC_KEY is {error}") from None
    key = SSlibKey(key_id(public), "ed25519", "ed25519", {"public": public.hex()})
    try:
        return RemoteSigner(public, Remote.from_priv_key_uri(uri, key))
    except UnsupportedLibraryError as error:
        raise BadKey(f"LOTUS_SIGNING_KEY needs a library: {error}") from None
    except Exception as error:
        # Whatever the library raises; its text may name addresses and accounts.
        raise BadKey(f"LOTUS_SIGNING_KEY cannot be opened ({type(error).__name__})") from None
