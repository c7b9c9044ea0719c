"""Whose signature the log bears: its name, and the one key in use."""

import secrets
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.audit.checkpoints import key_in_use
from app.audit.kinds import SigningKeyAdopted, SigningKeyRetired
from app.audit.log import append
from app.audit.tables import LogState, SigningKey
from app.keyring import BadKey
from app.signing import key_id


class RetiredKey(BadKey):
    """A key that signed once and was replaced; it must not come back."""


def ensure_named(session: Session, origin: str | None) -> LogState:
    """The row of the log's state, locked until the commit. The name is given once: a later
    `origin` changes nothing, since every checkpoint has the first one in it."""
    session.execute(
        text("INSERT INTO audit_log_state (id, origin) VALUES (1, :origin) ON CONFLICT DO NOTHING"),
        {"origin": origin or f"lotus-log/{secrets.token_hex(8)}"},
    )
    return session.get_one(LogState, 1, with_for_update=True, populate_existing=True)


def adopt(session: Session, public: bytes, *, now: datetime) -> None:
    """Makes this the key in use, and retires the one before. Needs the row of the log's state, so
    that two processes with two keys take turns, and the second finds the first one's key."""
    present = key_in_use(session)
    if present is not None and present.public == public:
        return
    identity = key_id(public)
    if session.get(SigningKey, identity) is not None:
        raise RetiredKey("LOTUS_SIGNING_KEY was retired when another key came: make a new one")
    if present is not None:
        present.retired_at = now
        append(session, SigningKeyRetired(key_id=present.key_id), now=now)
    session.add(SigningKey(key_id=identity, public=public, created_at=now))
    append(session, SigningKeyAdopted(key_id=identity), now=now)
