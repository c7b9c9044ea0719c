"""`Idempotency-Key`: the same key with the same body names the same resource (IETF draft-ietf-
httpapi-idempotency-key-header). What is kept, for a day, is a keyed fingerprint and the resource's
id; a call that fails keeps nothing, so its key may be used again."""

import hmac
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request
from sqlalchemy import CursorResult, delete, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from app.http.problems import Problem
from app.http.tables import IdempotencyKey
from app.keyring import Keyring

# How long a repeat is known at least; `forget` comes by every few minutes.
KEPT = timedelta(hours=24)
# Rows that one transaction forgets.
PART = 1_000
# How long a call waits for an earlier one with its key that is still being carried out.
WAIT_MILLISECONDS = 5_000

_LOCK_NOT_AVAILABLE = "55P03"

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="A value of your choice: for 24 hours, a repeat with the same key and body is "
        "answered with what the first call created.",
    ),
]


class KeyReused(Problem):
    status = 422
    code = "idempotency-key-reused"
    title = "The Idempotency-Key belongs to another call"


class KeyInUse(Problem):
    status = 409
    code = "idempotency-key-in-use"
    title = "A call with this Idempotency-Key is still being carried out"


async def raw_body(request: Request) -> bytes:
    """The bytes as received: what a repeat is compared with."""
    return await request.body()


RawBody = Annotated[bytes, Depends(raw_body)]


class Once:
    """One call that creates something, under the key that the caller gave it, if any.

    `purpose` names the operation, so that a key does not mean two of them; `body` is the body as
    received, with whatever of the path says what is meant.
    """

    def __init__(
        self,
        keyring: Keyring,
        controller: UUID,
        purpose: str,
        body: bytes,
        key: str | None,
        *,
        now: datetime,
    ) -> None:
        self._controller = controller
        self._key = keyring.digest("idempotency-key", key.encode()) if key else None
        self._fingerprint = keyring.digest(purpose, body)
        self._now = now

    def earlier(self, session: Session) -> UUID | None:
        """What this call created before; or None, and the key is this call's until it commits."""
        if self._key is None:
            return None
        return _reserve(session, self._controller, self._key, self._fingerprint, now=self._now)

    def created(self, session: Session, resource: UUID) -> None:
        if self._key is not None:
            session.get_one(IdempotencyKey, (self._controller, self._key)).resource_id = resource


def _reserve(
    session: Session, controller: UUID, key: bytes, fingerprint: bytes, *, now: datetime
) -> UUID | None:
    """Two calls that arrive together meet at the primary key: the later one waits for the earlier.

    On SQLite it has done so before, for its turn to write.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SET LOCAL lock_timeout = {WAIT_MILLISECONDS}"))
    while True:
        row = IdempotencyKey(
            controller_id=controller, key=key, fingerprint=fingerprint, created_at=now
        )
        try:
            with session.begin_nested():
                session.add(row)
            return None
        except IntegrityError:
            known = session.get(IdempotencyKey, (controller, key))
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise KeyInUse("Repeat the call in a moment.", headers={"Retry-After": "1"}) from None
        if known is None:
            continue  # it has just been forgotten
        if not hmac.compare_digest(known.fingerprint, fingerprint):
            raise KeyReused("Use a new key for a new call.")
        return known.resource_id


def anything_over(session: Session, *, now: datetime) -> bool:
    over = select(IdempotencyKey.created_at).where(IdempotencyKey.created_at < now - KEPT)
    return session.scalar(over.limit(1)) is not None


def forget(session: Session, *, now: datetime) -> int:
    """Keys whose day is over, about `PART` of them, the oldest first; how many they were."""
    over = IdempotencyKey.created_at < now - KEPT
    oldest = select(IdempotencyKey.created_at).where(over).order_by(IdempotencyKey.created_at)
    last = session.scalar(oldest.offset(PART - 1).limit(1))
    part = over if last is None else IdempotencyKey.created_at <= last
    result = session.execute(
        delete(IdempotencyKey).where(part).execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount
