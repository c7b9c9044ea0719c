"""Signs the head of the log, and never of a log that does not continue what was signed before.

The last signed head lies outside the database (`app.audit.memory`). A log that is smaller, or has
another root at that size, was cut, changed or restored: then nothing is signed any more until a
person accepts the log as it is (`app.audit.accepting`).

Nothing is signed inside a transaction: the key may be a network away. Instead a head is read,
signed, written to the memory, and stored, in this order. Ended at any point between, the next call
finds a log that continues the memory, and signs it. A head that was stored before it is remembered
could be cut off again unnoticed.
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.audit import adopting, merkle, notes, sequencer
from app.audit.checkpoints import key_in_use, log_state
from app.audit.checkpoints import newest as newest_checkpoint
from app.audit.kinds import Kind, LogRewound
from app.audit.log import append
from app.audit.memory import Memory
from app.audit.notes import BadNote, Checkpoint, SignedCheckpoint
from app.audit.sequencer import Head
from app.audit.tables import AuditCheckpoint, AuditEntry, LogState, PendingEntry, RewindReason
from app.db import Database
from app.observability import fields
from app.signing import Signer

__all__ = ["continues", "is_due", "newest_checkpoint", "seal"]

log = logging.getLogger("lotus.audit")

# A log that grew is signed this often; one that did not would give the very same note again.
EVERY = timedelta(minutes=1)
# What somebody waits for is signed at once: the end of a run is one of its moves.
AT_ONCE = (Kind.RUN_MOVED, Kind.CERTIFICATE_WRITTEN)
# Any number will do, as long as nothing else in the database locks the same one.
_LOCK = 0x6C6F7475735F7365


class WrongSignature(RuntimeError):
    """The key that signed is not the one whose public half is known."""


def is_due(session: Session, signer: Signer, memory: Memory, *, now: datetime) -> bool:
    """Costs some look-ups and a small file; asked every second."""
    try:
        remembered = memory.read()
    except BadNote:
        remembered = None
    state, key, last = log_state(session), key_in_use(session), newest_checkpoint(session)
    if state is not None and state.rewound_at is not None:
        return False
    if state is None or key is None or key.public != signer.public:
        return True
    if last is None or remembered is None:
        return True
    if (remembered.checkpoint.size, remembered.checkpoint.root) != (last.tree_size, last.root_hash):
        return True
    if sequencer.size(session) == last.tree_size and not sequencer.anything_pending(session):
        return False
    return now - last.created_at >= EVERY or _somebody_waits(session, last.tree_size)


def seal(
    database: Database, signer: Signer, memory: Memory, *, origin: str | None, now: datetime
) -> AuditCheckpoint | None:
    """Sequences what waits and signs the head. None if there was nothing to sign, if another
    process is at it, or if the log is rewound.

    Raises what the signer raises; RetiredKey; WrongSignature. Then nothing has been signed.
    """
    with memory.held() as ours:
        if not ours:
            return None
        named = _prepare(database, signer, origin, now)
        if named is None or _look(database, memory, named, now) is None:
            return None
        _sequence_all(database, now)
        head = _look(database, memory, named, now)
        if head is None or _is_signed(database, memory, head):
            return None
        signed = _sign(signer, Checkpoint(named, head.size, head.root))
        memory.write(signed.note)
        return _store(database, signed, now)


def _prepare(database: Database, signer: Signer, origin: str | None, now: datetime) -> str | None:
    """The log's name, once the key in use is this one; None if the log is rewound."""
    with database.read() as session:
        state, key = log_state(session), key_in_use(session)
    if state is None or (state.rewound_at is None and (key is None or key.public != signer.public)):
        with database.write() as session:
            state = adopting.ensure_named(session, origin)
            if state.rewound_at is None:
                adopting.adopt(session, signer.public, now=now)
    return state.origin if state.rewound_at is None else None


def _sequence_all(database: Database, now: datetime) -> None:
    """What was committed when this began; others may go on to write."""
    full = True
    while full:
        with database.read() as session:
            if not sequencer.anything_pending(session):
                return
        with database.write() as session:
            full = sequencer.sequence(session, now=now) == sequencer.BATCH


def _look(database: Database, memory: Memory, origin: str, now: datetime) -> Head | None:
    """The head of the log if it continues what was signed, in memory and database alike. Else notes
    that the log is rewound."""
    # First the memory: what it knows of was committed before, so the session below must see it.
    try:
        remembered = memory.read()
    except BadNote:
        _rewound(database, RewindReason.MEMORY_UNREADABLE, None, now)
        return None
    with database.read() as session:
        last, key = newest_checkpoint(session), key_in_use(session)
        reason: RewindReason | None = None
        try:
            head = sequencer.head(session)
            if remembered is not None:
                reason = _contradiction(session, head, remembered.checkpoint, origin)
            elif last is not None and key is not None and _signed_by(last, key.public):
                reason = RewindReason.MEMORY_MISSING
            if reason is None and last is not None:
                known = Checkpoint(origin, last.tree_size, last.root_hash)
                reason = _contradiction(session, head, known, origin)
        except KeyError:  # the tree lacks nodes
            reason = RewindReason.OTHER_HISTORY
    if reason is None:
        return head
    _rewound(database, reason, remembered, now)
    return None


def _contradiction(
    session: Session, head: Head, signed: Checkpoint, origin: str
) -> RewindReason | None:
    if signed.origin != origin:
        return RewindReason.OTHER_LOG
    if signed.size > head.size:
        return RewindReason.SMALLER
    if not continues(session, head, signed.size, signed.root):
        return RewindReason.OTHER_HISTORY
    return None


def continues(session: Session, head: Head, size: int, root: bytes) -> bool:
    """Whether the tree of this size and root is the beginning of the log."""
    if not 0 < size <= head.size:
        return False
    proof = merkle.consistency_proof(size, head.size, sequencer.reader(session))
    return merkle.verify_consistency(size, head.size, root, head.root, proof)


def _signed_by(stored: AuditCheckpoint, public: bytes) -> bool:
    try:
        return notes.parse(stored.note).verify(public)
    except BadNote:
        return False


def _rewound(
    database: Database, reason: RewindReason, remembered: SignedCheckpoint | None, now: datetime
) -> None:
    signed = remembered.checkpoint if remembered is not None else None
    with database.write() as session:
        state = session.get_one(LogState, 1, with_for_update=True)
        if state.rewound_at is not None:
            return
        state.rewound_at, state.rewound_reason = now, reason
        state.signed_size = signed.size if signed else None
        state.signed_root = signed.root if signed else None
        size = sequencer.size(session)
        facts = LogRewound(
            reason=reason,
            signed_size=signed.size if signed else None,
            signed_root=signed.root.hex() if signed else None,
            log_size=size,
        )
        append(session, facts, now=now)
    log.error(
        "log-rewound: nothing is signed until a person acts; see `lotus doctor`",
        extra=fields(reason=reason, signed_size=signed.size if signed else None, log_size=size),
    )


def _is_signed(database: Database, memory: Memory, head: Head) -> bool:
    """In both places; after a crash, or with a memory out of a backup, it may be in one."""
    remembered = memory.read()
    with database.read() as session:
        last = newest_checkpoint(session)
    known = remembered is not None and remembered.checkpoint.size == head.size
    return known and last is not None and last.tree_size == head.size


def _sign(signer: Signer, checkpoint: Checkpoint) -> SignedCheckpoint:
    signature = signer.sign(checkpoint.text.encode("ascii"))
    signed = notes.signed(checkpoint, signer.public, signature)
    if not signed.verify(signer.public):
        raise WrongSignature("the signing key does not belong to the public key that is set")
    return signed


def _store(database: Database, signed: SignedCheckpoint, now: datetime) -> AuditCheckpoint | None:
    """Unless somebody else, with another memory, was faster or found the log rewound."""
    checkpoint = signed.checkpoint
    with database.write() as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        state, last = log_state(session), newest_checkpoint(session)
        if state is None or state.rewound_at is not None:
            return None
        if last is not None and last.tree_size >= checkpoint.size:
            return None
        stored = AuditCheckpoint(
            tree_size=checkpoint.size,
            root_hash=checkpoint.root,
            note=signed.note,
            created_at=now,
        )
        session.add(stored)
    log.info("log sealed", extra=fields(size=checkpoint.size))
    return stored


def _somebody_waits(session: Session, size: int) -> bool:
    """Among what no checkpoint covers yet."""
    placed = select(AuditEntry.index).where(AuditEntry.index >= size, AuditEntry.kind.in_(AT_ONCE))
    waiting = select(PendingEntry.id).where(PendingEntry.kind.in_(AT_ONCE))
    return any(session.scalar(query.limit(1)) is not None for query in (placed, waiting))
