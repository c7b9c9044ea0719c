"""Identity types, their normal forms, and the hash under which raw and hashed input meet.

An identity enters as the value itself (`raw`) or as the lower-case hex SHA-256 of its normal form
(`sha256`). Both lead to the same hash, so a dataset registered with one is found with the other.
"""

import hashlib
import re
import unicodedata
from enum import StrEnum

# The names of OpenDSR 2.0; a dataset may declare types of its own beside these.
EMAIL = "email"
DEFAULT_TYPE = "controller_customer_id"
TYPE_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
LONGEST_VALUE = 1024

_HEX = re.compile(r"[0-9a-f]{64}")


class IdentityFormat(StrEnum):
    RAW = "raw"
    SHA256 = "sha256"


class BadIdentity(ValueError):
    """The value cannot be an identity; the message says why and never repeats the value."""


def value_sha256(identity_type: str, value: str, form: IdentityFormat) -> str:
    """Lower-case hex SHA-256 of the normalised value, whichever form it came in."""
    if form is IdentityFormat.SHA256:
        digest = value.strip().lower()
        if not _HEX.fullmatch(digest):
            raise BadIdentity("is not a SHA-256 in hexadecimal")
        return digest
    return hashlib.sha256(_normalise(identity_type, value).encode("utf-8")).hexdigest()


def _normalise(identity_type: str, value: str) -> str:
    """Trimmed, Unicode NFC; an e-mail address also in lower case."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadIdentity("is not valid Unicode") from None
    normal = unicodedata.normalize("NFC", value.strip())
    if identity_type == EMAIL:
        normal = unicodedata.normalize("NFC", normal.lower())
    if not normal:
        raise BadIdentity("is empty")
    if len(normal) > LONGEST_VALUE:
        raise BadIdentity(f"is longer than {LONGEST_VALUE} characters")
    if "\x00" in normal:
        raise BadIdentity("contains a NUL character")
    return normal
