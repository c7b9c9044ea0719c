"""The service's signing key: Ed25519, in a file or behind the URI of a KMS or an HSM.

Whoever holds it can sign certificates and checkpoints of the audit log in the service's name, so
only the process that seals opens it. Everyone else needs the public half.
"""

import hashlib
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64


class Signer(Protocol):
    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes (RFC 8032). A key that lies elsewhere may be away: any exception may come."""


def key_id(public: bytes) -> str:
    """SHA-256 of the key's DER SubjectPublicKeyInfo, in hexadecimal: from the PEM file alone."""
    key = Ed25519PublicKey.from_public_bytes(public)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def public_pem(public: bytes) -> str:
    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
