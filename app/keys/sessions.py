"""Sessions of browsers: for some hours a random token in a cookie stands for the key.

Of the token a keyed digest is kept. What a session may do is what its key may do at that moment:
nothing, once the key is revoked or expired. Revoking and rotating a key removes its sessions too.
"""

import re
import secrets
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.db import rows_changed
from app.ids import new_id
from app.keyring import Keyring
from app.keys.tables import ApiKey, BrowserSession

TOKEN_BYTES = 32
# Of one key at a time: the oldest makes room. More than people use one key, and a bound all the
# same for a program that logs in with each call.
MOST = 50
# Rows that one transaction forgets.
PART = 1_000

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def open_session(
    session: Session, keyring: Keyring, key: UUID, *, life: timedelta, now: datetime
) -> tuple[BrowserSession, str]:
    """The row and the token, which cannot be had again. It never outlives the key."""
    # Whoever else opens one with this key waits, so that no two count the same sessions.
    opener = session.scalars(
        select(ApiKey).where(ApiKey.id == key).with_for_update(key_share=True)
    ).one()
    _make_room(session, key)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    row = BrowserSession(
        id=new_id(),
        key_id=key,
        digest=_digest(keyring, token),
        created_at=now,
        expires_at=min(now + life, opener.expires_at or now + life),
    )
    session.add(row)
    session.flush()
    return row, token


def _make_room(session: Session, key: UUID) -> None:
    older = (
        select(BrowserSession.id)
        .where(BrowserSession.key_id == key)
        .order_by(BrowserSession.created_at.desc(), BrowserSession.id.desc())
        .offset(MOST - 1)
    )
    _remove(session, session.scalars(older).all())


def live(session: Session, ids: Collection[UUID], *, now: datetime) -> set[UUID]:
    """Those of these that have not ended. Whether their keys are valid is asked elsewhere."""
    if not ids:
        return set()
    query = select(BrowserSession.id).where(
        BrowserSession.id.in_(ids), BrowserSession.expires_at > now
    )
    return set(session.scalars(query))


def any_ended_elsewhere(session: Session, ids: Collection[UUID]) -> bool:
    """By another transaction: a call may end the session that it came by."""
    asked = set(ids) - session.info.get("ended_sessions", set())
    there = session.scalars(select(BrowserSession.id).where(BrowserSession.id.in_(asked)))
    return bool(asked - set(there)) if asked else False


def with_tokens(session: Session, keyring: Keyring, tokens: Iterable[str]) -> list[UUID]:
    """The sessions that these open or opened."""
    digests = [digest for token in tokens if (digest := digest_of(keyring, token))]
    if not digests:
        return []
    return list(
        session.scalars(select(BrowserSession.id).where(BrowserSession.digest.in_(digests)))
    )


def end(session: Session, ids: Collection[UUID]) -> None:
    _remove(session, ids)


def end_all(session: Session, key: UUID) -> None:
    """All sessions of a key."""
    ids = session.scalars(select(BrowserSession.id).where(BrowserSession.key_id == key)).all()
    _remove(session, ids)


def _remove(session: Session, ids: Collection[UUID]) -> int:
    if not ids:
        return 0
    session.info.setdefault("ended_sessions", set()).update(ids)
    removed = session.execute(
        delete(BrowserSession)
        .where(BrowserSession.id.in_(ids))
        .execution_options(synchronize_session=False)
    )
    return rows_changed(removed)


def anything_over(session: Session, *, now: datetime) -> bool:
    over = select(BrowserSession.id).where(BrowserSession.expires_at <= now)
    return session.scalar(over.limit(1)) is not None


def forget(session: Session, *, now: datetime) -> int:
    """Sessions whose time is over, `PART` of them at most; how many they were. Those that somebody
    is ending at this moment are left to him."""
    over = (
        select(BrowserSession.id)
        .where(BrowserSession.expires_at <= now)
        .order_by(BrowserSession.expires_at)
        .limit(PART)
        .with_for_update(skip_locked=True)
    )
    return _remove(session, session.scalars(over).all())


def digest_of(keyring: Keyring, token: str) -> bytes | None:
    """What is kept of such a token; None if there can be none."""
    return _digest(keyring, token) if _TOKEN.fullmatch(token) else None


def _digest(keyring: Keyring, token: str) -> bytes:
    return keyring.digest("browser-session", token.encode("ascii"))
