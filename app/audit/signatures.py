"""The stored checkpoints and keys against a log that is recomputed: every note is of this log and
rightly signed, and every key is one that the log says was adopted, and retired when it says so."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.audit import notes
from app.audit.kinds import Kind
from app.audit.notes import BadNote, Checkpoint
from app.audit.rows import is_unreadable, raw
from app.audit.tables import AuditCheckpoint, LogState, SigningKey
from app.canonical import instant_text
from app.signing import PUBLIC_BYTES, key_id

_CHECKPOINTS, _KEYS = AuditCheckpoint.__table__.c, SigningKey.__table__.c
_EVENTS = {Kind.SIGNING_KEY_ADOPTED.value: 0, Kind.SIGNING_KEY_RETIRED.value: 1}


class BadSignature(Exception):
    """The message names the checkpoint or the key."""


class Signatures:
    def __init__(self, origin: str | None, keys: dict[bytes, bytes], since: Checkpoint | None):
        """`keys` are public keys by the hash that notes name them with."""
        self._origin, self._keys, self._since = origin, keys, since
        # When the log says that a key came and went.
        self._events: dict[str, list[str | None]] = {}
        self._stored: dict[int, tuple[Any, Any]] = {}
        self.sizes: set[int] = set()
        self.verified = 0

    @classmethod
    def read(cls, session: Session, since: Checkpoint | None) -> "Signatures":
        named = _read(session, "the log's name", select(raw(LogState.__table__.c.origin)))
        origin = named[0][0] if named else None
        keys: dict[bytes, bytes] = {}
        if isinstance(origin, str) and origin.isascii():
            for (public,) in _read(session, "signing key", select(raw(_KEYS.public))):
                if isinstance(public, bytes):
                    keys[notes.key_hash(origin, public)] = public
        return cls(origin, keys, since)

    def load(self, session: Session, start: int, end: int) -> None:
        """The checkpoints of trees larger than `start`, up to `end`; call before they are met."""
        size = _CHECKPOINTS.tree_size
        query = select(size, raw(_CHECKPOINTS.root_hash), raw(_CHECKPOINTS.note))
        rows = _read(session, "checkpoint", query.where((size > start) & (size <= end)))
        self._stored = {place: (root, note) for place, root, note in rows}
        for place in self._stored:
            if type(place) is not int:  # SQLite has no fixed types
                raise BadSignature(f"a checkpoint between {start} and {end} has no size")
        self.sizes = set(self._stored)
        if self._since is not None:
            self.sizes.add(self._since.size)

    def check(self, size: int, root: bytes) -> None:
        if self._since is not None and self._since.size == size and self._since.root != root:
            raise BadSignature(
                f"entries before {size} are not those of the checkpoint that was given"
            )
        if size in self._stored:
            self._check_stored(size, root, *self._stored[size])

    def note_event(self, kind: str, body: bytes) -> None:
        """Keys come and go by entries of the log."""
        if kind in _EVENTS:
            entry = json.loads(body)
            times = self._events.setdefault(entry["facts"]["key_id"], [None, None])
            times[_EVENTS[kind]] = entry["time"]

    def finish(self, session: Session, size: int) -> None:
        """After the last entry."""
        beyond = (_CHECKPOINTS.tree_size > size) | (_CHECKPOINTS.tree_size < 1)
        other = session.scalar(select(func.min(_CHECKPOINTS.tree_size)).where(beyond))
        if other is not None:
            raise BadSignature(f"checkpoint {other}: the log has {size} entries")
        if self._since is not None:
            self._finish_since(self._since, size)
        self._check_keys(session)

    def _check_stored(self, size: int, root: bytes, stored_root: object, note: object) -> None:
        name = f"checkpoint {size}"
        try:
            signed = notes.parse(note if isinstance(note, str) else "")
        except BadNote as error:
            raise BadSignature(f"{name}: {error}") from None
        said = signed.checkpoint
        if said.origin != self._origin:
            raise BadSignature(f"{name}: of another log")
        public = self._keys.get(signed.key_hash)
        if public is None or not signed.verify(public):
            raise BadSignature(f"{name}: not signed by a key of this log")
        if (said.size, said.root, stored_root) != (size, root, root):
            raise BadSignature(f"{name}: its root is not that of the entries before it")
        self.verified += 1

    def _finish_since(self, since: Checkpoint, size: int) -> None:
        if self._origin is not None and since.origin != self._origin:
            raise BadSignature("the checkpoint that was given is of another log")
        if since.size > size:
            raise BadSignature(
                f"the log has {size} entries, and {since.size} in the checkpoint that was given: "
                "it was cut, or came back from a backup"
            )

    def _check_keys(self, session: Session) -> None:
        query = select(_KEYS.key_id, *map(raw, (_KEYS.public, _KEYS.created_at, _KEYS.retired_at)))
        for identity, public, *times in _read(session, "signing key", query):
            if not isinstance(public, bytes) or len(public) != PUBLIC_BYTES:
                raise BadSignature(f"signing key {identity}: not a key")
            if key_id(public) != identity:
                raise BadSignature(f"signing key {identity}: its id is of another key")
            if self._events.pop(identity, None) != [_text(time) for time in times]:
                raise BadSignature(f"signing key {identity}: the log says otherwise of it")
        for identity in self._events:
            raise BadSignature(f"signing key {identity}: missing, and the log names it")


def _read(session: Session, name: str, query: Any) -> Sequence[Any]:
    try:
        return session.execute(query).all()
    except OperationalError as error:
        if not is_unreadable(error):
            raise
        raise BadSignature(f"{name}: a column cannot be read") from None


def _text(time: Any) -> str | None:
    """A stored time as the log writes it, byte for byte; what is no time, as nothing that the log
    could say."""
    if time is None:
        return None
    if isinstance(time, datetime):
        return instant_text(time)
    return time.replace(" ", "T", 1) + "Z" if isinstance(time, str) else "no time"
