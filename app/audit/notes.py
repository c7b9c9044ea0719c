"""Signed tree heads and proofs as text: C2SP signed-note, tlog-checkpoint and tlog-proof.

A note has one signature here, by the log's own key, and one form: what is read is accepted only if
writing it again gives the same text. https://c2sp.org/tlog-checkpoint
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

# Printable ASCII without space and plus: the origin of a log, which is also the name of its key.
ORIGIN = r"^[!-*,-~]{1,200}$"
_ED25519 = b"\x01"
_DASH = "\N{EM DASH}"
_PROOF = "c2sp.org/tlog-proof@v1"
_HASH_BYTES, _KEY_HASH_BYTES, _SIGNATURE_BYTES, _PUBLIC_BYTES = 32, 4, 64, 32
_MOST = 2**63
_MOST_TEXT = 16_384


class BadNote(ValueError):
    """A text that is no note or key of ours; the message never repeats it."""


@dataclass(frozen=True)
class Checkpoint:
    """What is signed: the first `size` entries of the log `origin` have this root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The signed bytes, in ASCII."""
        return f"{self.origin}\n{self.size}\n{_encode(self.root)}\n"


@dataclass(frozen=True)
class SignedCheckpoint:
    checkpoint: Checkpoint
    key_hash: bytes
    signature: bytes

    @property
    def note(self) -> str:
        signed = _encode(self.key_hash + self.signature)
        return f"{self.checkpoint.text}\n{_DASH} {self.checkpoint.origin} {signed}\n"

    def verify(self, public: bytes) -> bool:
        """Whether the key with these 32 bytes signed it."""
        # Loaded here: `app.signing` says why.
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        if self.key_hash != key_hash(self.checkpoint.origin, public):
            return False
        try:
            key = Ed25519PublicKey.from_public_bytes(public)
            key.verify(self.signature, self.checkpoint.text.encode("ascii"))
        except (InvalidSignature, ValueError):
            return False
        return True


def key_hash(origin: str, public: bytes) -> bytes:
    named = origin.encode("ascii") + b"\n" + _ED25519 + public
    return hashlib.sha256(named).digest()[:_KEY_HASH_BYTES]


def vkey(origin: str, public: bytes) -> str:
    """The public key with the log's name, in one line, as verifiers of notes are told it."""
    return f"{origin}+{key_hash(origin, public).hex()}+{_encode(_ED25519 + public)}"


def parse_vkey(text: str) -> tuple[str, bytes]:
    """Origin and the public key's 32 bytes."""
    origin, _, rest = text.partition("+")
    _, _, encoded = rest.partition("+")
    public = _decode(encoded, 1 + _PUBLIC_BYTES)[1:]
    if not re.fullmatch(ORIGIN, origin) or vkey(origin, public) != text:
        raise BadNote("not an Ed25519 key of a log in the form name+hash+base64")
    return origin, public


def signed(checkpoint: Checkpoint, public: bytes, signature: bytes) -> SignedCheckpoint:
    return SignedCheckpoint(checkpoint, key_hash(checkpoint.origin, public), signature)


def parse(note: str) -> SignedCheckpoint:
    """BadNote for anything but a checkpoint with one signature, in the very form that is written
    here. Says nothing of whether the signature is right."""
    if len(note) > _MOST_TEXT:
        raise BadNote("longer than a checkpoint can be")
    lines = note.split("\n")
    if len(lines) != 6:
        raise BadNote("not a checkpoint with one signature: it has five lines")
    origin, size, root, _, signature, _ = lines
    if not re.fullmatch(ORIGIN, origin):
        raise BadNote("the first line is not the name of a log")
    key = _decode(signature.rpartition(" ")[2], _KEY_HASH_BYTES + _SIGNATURE_BYTES)
    found = SignedCheckpoint(
        Checkpoint(origin, _number(size), _decode(root, _HASH_BYTES)),
        key[:_KEY_HASH_BYTES],
        key[_KEY_HASH_BYTES:],
    )
    if found.note != note:
        raise BadNote("not written as a checkpoint of this service is")
    return found


def proof_text(index: int, hashes: Sequence[bytes], checkpoint_note: str) -> str:
    """A tlog-proof: that the entry `index` stands in the tree that the note signs; `hashes` nearest
    sibling first. `certificates.verify` reads it."""
    lines = [_PROOF, f"index {index}", *(_encode(digest) for digest in hashes), "", checkpoint_note]
    return "\n".join(lines)


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _decode(text: str, length: int) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadNote("a hash, key or signature is not base64") from None
    if len(content) != length:
        raise BadNote("a hash, key or signature has another length")
    return content


def _number(text: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", text) or int(text) >= _MOST:
        raise BadNote("a size or an index is not a number")
    return int(text)
