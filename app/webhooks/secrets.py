"""Secrets of endpoints: they must be had again to sign, so they are sealed, not hashed. And
what the log may know of their URLs.

AES-256-GCM under a key derived from the service's secret key; the id of the endpoint is bound in,
so that nobody who can write to the database can give one endpoint another's secret.
"""

import base64
import secrets
from typing import TYPE_CHECKING
from uuid import UUID

from app.keyring import Keyring

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "whsec_"
SECRET_BYTES = 32
_NONCE_BYTES = 12


class SecretUnreadable(Exception):
    """Sealed under another LOTUS_SECRET_KEY: the endpoint needs a new secret."""


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """As receivers' libraries take it."""
    return PREFIX + base64.b64encode(secret).decode("ascii")


def seal(keyring: Keyring, endpoint: UUID, secret: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + _cipher(keyring).encrypt(nonce, secret, endpoint.bytes)


def unseal(keyring: Keyring, endpoint: UUID, sealed: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        return _cipher(keyring).decrypt(
            sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], endpoint.bytes
        )
    except (InvalidTag, ValueError):
        raise SecretUnreadable from None


def _cipher(keyring: Keyring) -> "AESGCM":
    # Loaded here: `app.signing` says why.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(keyring.digest("webhook-secrets", b""))


def url_digest(keyring: Keyring, url: str) -> str:
    """What the log knows a URL by: keyed, since a URL is easily guessed."""
    return keyring.digest("callback-url", url.encode()).hex()
