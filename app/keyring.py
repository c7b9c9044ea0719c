"""The service's keys, and the only functions that turn an identity into something storable.

subject_ref     = HMAC-SHA-256(pseudonym key, identity type || 0x00 || sha256 hex of the value)
suppression_tag = HMAC-SHA-256(suppression key, the same)
sample_ref      = HMAC-SHA-256(pseudonym key, "sample" || 0x00 || dataset id || 0x00 || sample id)
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from app.config import Settings

KEY_BYTES = 32


class BadKey(ValueError):
    """A key that cannot be used; the message names where it comes from, never its value."""


@dataclass(frozen=True)
class Keyring:
    """`pseudonym` maps key id to key; the first is the one that new datasets use."""

    secret: bytes = field(repr=False)
    pseudonym: dict[str, bytes] = field(repr=False)
    suppression: bytes = field(repr=False)

    @property
    def pseudonym_key_id(self) -> str:
        return next(iter(self.pseudonym))

    def subject_ref(self, key_id: str, identity_type: str, value_sha256: str) -> bytes:
        return _hmac(self.pseudonym[key_id], _identity(identity_type, value_sha256))

    def pseudonym_check(self, key_id: str) -> bytes:
        """Tells another key under the same id from this one, and says nothing about it."""
        return _hmac(self.pseudonym[key_id], b"key check")  # no identity: those hold a zero byte

    def suppression_tag(self, identity_type: str, value_sha256: str) -> bytes:
        return _hmac(self.suppression, _identity(identity_type, value_sha256))

    def sample_ref(self, key_id: str, dataset_id: UUID, sample_id: str) -> bytes:
        message = b"sample\x00" + dataset_id.bytes + b"\x00" + sample_id.encode()
        return _hmac(self.pseudonym[key_id], message)

    def forget_set_salt(self, run: UUID) -> bytes:
        """The same in every certificate of a run, so that they commit to one forget set."""
        return self.digest("forget-set", run.bytes)

    def digest(self, purpose: str, content: bytes) -> bytes:
        """Keyed digest of something that must be compared but not kept, such as a body or a key."""
        return _hmac(self.secret, purpose.encode() + b"\x00" + content)


def load_keyring(settings: Settings) -> Keyring:
    """Keys from the settings, or from files that a single machine makes for itself once."""
    folder = settings.key_dir
    pseudonym = settings.pseudonym_key or _own_key(
        folder / "pseudonym.key", lambda: f"k1:{_fresh_key()}"
    )
    secret = settings.secret_key or _own_key(folder / "secret.key", _fresh_key)
    suppression = settings.suppression_key or _own_key(folder / "suppression.key", _fresh_key)
    return Keyring(
        secret=_decode("LOTUS_SECRET_KEY", secret),
        pseudonym=_decode_pseudonym(pseudonym),
        suppression=_decode("LOTUS_SUPPRESSION_KEY", suppression),
    )


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _identity(identity_type: str, value_sha256: str) -> bytes:
    return identity_type.encode() + b"\x00" + value_sha256.encode("ascii")


def _fresh_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")


def _own_key(path: Path, make: Callable[[], str]) -> str:
    """Reads the file, or makes it. Two processes that start together agree on one key."""
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(make() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # fails if another process was first, unlike a rename
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text("ascii").strip()


def _decode(name: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadKey(f"{name} is not base64") from None
    if len(key) != KEY_BYTES:
        raise BadKey(f"{name} must be {KEY_BYTES} bytes, not {len(key)}")
    return key


def _decode_pseudonym(text: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for part in text.split(","):
        key_id, colon, encoded = part.strip().partition(":")
        if not colon or not key_id or len(key_id) > 40 or key_id in keys:
            raise BadKey("LOTUS_PSEUDONYM_KEY must be `id:base64[,id:base64]` with distinct ids")
        keys[key_id] = _decode("LOTUS_PSEUDONYM_KEY", encoded)
    return keys
