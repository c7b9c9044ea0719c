"""`Idempotency-Key`: the same key with the same body names the same resource (IETF draft-ietf-
httpapi-idempotency-key-header). What is kept, for a day, is a keyed fingerprint and the resource's
id; a call that fails keeps nothing, so its key may be used again."""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Request
from sqlalchemy import CursorResult, bindparam, delete, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
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
_LIMITED_WAIT = text(f"SET LOCAL lock_timeout = {WAIT_MILLISECONDS}")
# The same for several calls together, each of which can still be carried out by itself.
_SHORT_WAIT = text("SET LOCAL lock_timeout = 1000")
_TABLE: Any = IdempotencyKey.__table__
_GIVE_BACK = delete(_TABLE).where(
    _TABLE.c.controller_id == bindparam("controller"),
    _TABLE.c.key.in_(bindparam("keys", expanding=True)),
)
_KNOWN = select(_TABLE.c.key).where(
    _TABLE.c.controller_id == bindparam("controller"),
    _TABLE.c.key.in_(bindparam("keys", expanding=True)),
)
_INSERTS = {
    "sqlite": sqlite.insert(_TABLE).on_conflict_do_nothing().returning(_TABLE.c.created_at),
    "postgresql": postgresql.insert(_TABLE).on_conflict_do_nothing().returning(_TABLE.c.created_at),
}

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
        self.key = keyring.digest("idempotency-key", key.encode()) if key else None
        self._fingerprint = keyring.digest(purpose, body)
        self._now = now

    def earlier(self, session: Session, resource: UUID | None = None) -> UUID | None:
        """What this call created before; or None, and the key is this call's until it commits.
        `resource` is the id of what it is going to create, where that is known already."""
        if self.key is None:
            return None
        limit_wait(session)
        while not _reserve(session, self.row(resource)):
            known = session.get(IdempotencyKey, (self._controller, self.key))
            if known is None:
                continue  # it has just been forgotten
            if not hmac.compare_digest(known.fingerprint, self._fingerprint):
                raise KeyReused("Use a new key for a new call.")
            return known.resource_id
        return None

    def row(self, resource: UUID | None) -> dict[str, Any]:
        return {
            "controller_id": self._controller,
            "key": self.key,
            "fingerprint": self._fingerprint,
            "resource_id": resource,
            "created_at": self._now,
        }

    def created(self, session: Session, resource: UUID) -> None:
        if self.key is not None:
            row = session.get_one(IdempotencyKey, (self._controller, self.key))
            row.resource_id = resource


def repeated(session: Session, controller: UUID, calls: Sequence[Once]) -> list[bool]:
    """Which of these calls of one controller have a key that an earlier call had."""
    keys = [call.key for call in calls if call.key is not None]
    if not keys:
        return [False] * len(calls)
    found = set(session.scalars(_KNOWN, {"controller": controller, "keys": keys}))
    return [call.key in found for call in calls]


def reserve(session: Session, calls: Sequence[tuple[Once, UUID]]) -> None:
    """The keys of these calls, of which no two are the same, are theirs until they commit, each for
    what it is going to create. IntegrityError if another call has just taken one of them. As in
    `Once.earlier`, before anything else is written: who locks in another order meets a deadlock."""
    rows = [call.row(resource) for call, resource in calls if call.key is not None]
    if rows:
        session.execute(insert(_TABLE), sorted(rows, key=lambda row: bytes(row["key"])))


def give_back(session: Session, controller: UUID, calls: Sequence[Once]) -> None:
    """The keys of calls that failed: they may be used again."""
    keys = [call.key for call in calls if call.key is not None]
    if keys:
        session.execute(_GIVE_BACK, {"controller": controller, "keys": keys})


def limit_wait(session: Session) -> None:
    """For whatever other transactions hold, be it a key of a call: then OperationalError."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_LIMITED_WAIT)


def wait_briefly(session: Session) -> None:
    """The same, where each of several calls can still be carried out by itself."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_SHORT_WAIT)


def _reserve(session: Session, values: dict[str, Any]) -> bool:
    """Two calls that arrive together meet at the primary key: the later one waits for the earlier,
    and finds its row. On SQLite it has done so before, for its turn to write."""
    insert = _INSERTS[session.get_bind().dialect.name]
    try:
        return session.execute(insert, values).first() is not None
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise KeyInUse("Repeat the call in a moment.", headers={"Retry-After": "1"}) from None


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
