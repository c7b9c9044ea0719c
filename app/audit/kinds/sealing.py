"""Bodies of what happens to the log's own keys, and to the log when it was found rewound."""

from app.audit.kinds.base import Actor, Facts, Kind
from app.canonical import Code, Count, Sha256


class SigningKeyAdopted(Facts):
    """`key_id` is SHA-256 of the key's DER SubjectPublicKeyInfo."""

    kind = Kind.SIGNING_KEY_ADOPTED
    key_id: Sha256


class SigningKeyRetired(Facts):
    kind = Kind.SIGNING_KEY_RETIRED
    key_id: Sha256


class LogRewound(Facts):
    """The log does not continue what was signed last; `signed_size` and `signed_root` are empty
    where nothing tells what that was."""

    kind = Kind.LOG_REWOUND
    reason: Code
    signed_size: Count | None
    signed_root: Sha256 | None
    log_size: Count


class RewindAccepted(Facts):
    """From now on the log is signed as it is, though an earlier head was signed of another one."""

    kind = Kind.REWIND_ACCEPTED
    reason: Code
    signed_size: Count | None
    signed_root: Sha256 | None
    log_size: Count
    log_root: Sha256
    actor: Actor
