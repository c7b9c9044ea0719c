"""The key and the certificate that OpenDSR answers and callbacks are signed with.

RSA, since the protocol says so: RSASSA-PKCS1-v1_5 with SHA-256. The certificate is the public half,
issued to the domain on which requests are received; whoever verifies fetches it there.
"""

import base64
import os
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from app.config import Settings
from app.disk import sync_folder
from app.keyring import BadKey
from app.opendsr.key_files import NotSetUp, host_of, own_path, paths_of, previous_path

FEWEST_BITS = 2048
OWN_DOMAIN = "localhost"
VALID_FOR = timedelta(days=825)
KEY, CERTIFICATE = "LOTUS_OPENDSR_KEY", "LOTUS_OPENDSR_CERTIFICATE"


@dataclass(frozen=True)
class Certificate:
    """What is served to whoever verifies: the leaf first, then what vouches for it."""

    pem: bytes
    leaf: x509.Certificate

    @property
    def fingerprint(self) -> str:
        return self.leaf.fingerprint(hashes.SHA256()).hex()

    @property
    def is_self_signed(self) -> bool:
        return self.leaf.issuer == self.leaf.subject

    @property
    def names(self) -> list[str]:
        """Of hosts, in lower case; wildcards are left out, since a domain must be named exactly."""
        try:
            found = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        names = found.get_values_for_type(x509.DNSName)
        addresses = [str(one) for one in found.get_values_for_type(x509.IPAddress)]
        return [name.lower() for name in [*names, *addresses] if "*" not in name]


@dataclass(frozen=True)
class Seal:
    """Signs in the name of `domain`; `served` are all certificates that may be asked for."""

    domain: str
    certificate: Certificate
    served: dict[str, Certificate]
    key: RSAPrivateKey = field(repr=False)

    def sign(self, message: bytes) -> str:
        """Standard base64 in one line. The same bytes always give the same signature."""
        return base64.b64encode(self.key.sign(message, PKCS1v15(), hashes.SHA256())).decode("ascii")


def load(settings: Settings, *, make: bool = True) -> Seal:
    """From the files that the settings name; on a single machine without those, from a file that it
    makes for itself once, unless told not to. BadKey names what cannot be used and why."""
    paths = paths_of(settings)
    if not paths:
        raise NotSetUp
    if settings.opendsr_key is None and make:
        make_own(settings)
    # The key stands in the first of the files where the machine made it for itself.
    key = _read_key(settings.opendsr_key or paths[0])
    served = [_read_certificate(path) for path in paths if path.exists() or path == paths[0]]
    used = served[0]
    if used.leaf.public_key() != key.public_key():
        raise BadKey(f"{KEY} is not the key of the first file of {CERTIFICATE}")
    domain = host_of(settings) or (used.names[0] if used.names else None)
    if domain is None or domain not in used.names:
        raise BadKey(f"{CERTIFICATE} is not issued to {domain or 'any domain'}")
    return Seal(domain, used, {one.fingerprint: one for one in served}, key)


def make_own(settings: Settings) -> bool:
    """A key with a certificate that nobody else vouches for, for the domain of the settings; False
    if there is one. Processes that make it together agree on one."""
    path, domain = own_path(settings), host_of(settings)
    if path.exists():
        if domain is None or domain in _read_certificate(path).names:
            return False
        replace_own(settings, new_key=False)  # the service has moved
        return True
    return _write(path, _own(domain or OWN_DOMAIN, fresh_key()), replace=False)


def replace_own(settings: Settings, *, new_key: bool) -> None:
    """A new certificate: of the same key, so that whoever kept the old one is not disturbed, or of
    a new key, and then the old certificate is served beside it."""
    path, domain = own_path(settings), host_of(settings) or OWN_DOMAIN
    old_key = _read_key(path)
    if new_key:
        _write(previous_path(settings), _read_certificate(path).pem, replace=True)
    _write(path, _own(domain, fresh_key() if new_key else old_key), replace=True)


def make_files(key_path: Path, certificate_path: Path, domain: str) -> bool:
    """The two files that the settings name; False if they are there. A certificate that nobody else
    vouches for, and of another domain, is made anew."""
    made = not key_path.exists() and _write(key_path, _key_pem(fresh_key()), replace=False)
    if certificate_path.exists():
        found = _read_certificate(certificate_path)
        if not found.is_self_signed or (not made and domain in found.names):
            return made
    return _write(certificate_path, self_signed(domain, _read_key(key_path)), replace=True)


def fresh_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=3072)


def self_signed(domain: str, key: RSAPrivateKey) -> bytes:
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, domain[:64])])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName([_general(domain)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def _general(domain: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(domain))
    except ValueError:
        return x509.DNSName(domain)


def _own(domain: str, key: RSAPrivateKey) -> bytes:
    return _key_pem(key) + self_signed(domain, key)


def _key_pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_key(path: Path) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise BadKey(f"{KEY} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey(f"{KEY} is not a private key in PEM without a password") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < FEWEST_BITS:
        raise BadKey(f"{KEY} is not an RSA key of at least {FEWEST_BITS} bits")
    return key


def _read_certificate(path: Path) -> Certificate:
    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise BadKey(f"{CERTIFICATE} cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadKey(f"{CERTIFICATE} is not a certificate in PEM") from None
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
    return Certificate(pem, chain[0])


def _write(path: Path, content: bytes, *, replace: bool) -> bool:
    """For the owner alone; False if the file is there and is not to be replaced."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        if replace:
            os.replace(draft, path)
        else:
            os.link(draft, path)  # fails if another process was first, unlike a rename
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True
