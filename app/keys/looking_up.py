"""Whose key or cookie was shown. Calls that come at the same time are looked up together; what is
found is never kept, so a key that was revoked opens nothing from that moment on."""

import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from app.http import problems
from app.keys import service, sessions
from app.keys.tables import ApiKey, BrowserSession
from app.rounds import Rounds
from app.runtime import Runtime

log = logging.getLogger("lotus.keys")

# Of an IN list; calls beyond it wait for the next round.
TOGETHER = 200
# One look at a time, unless some are stuck: each connection of the pool may be a dead one.
THREADS = 40
PATIENCE_SECONDS = 0.25

_KEY = (
    ApiKey.id,
    ApiKey.controller_id,
    ApiKey.scopes,
    ApiKey.expires_at,
    ApiKey.revoked_at,
    ApiKey.last_used_at,
)
# Made once, as every call asks one of them.
_KEYS: Select[Any] = select(ApiKey.digest, *_KEY).where(
    ApiKey.digest.in_(bindparam("digests", expanding=True))
)
_SESSIONS: Select[Any] = (
    select(BrowserSession.digest, *_KEY, BrowserSession.id, BrowserSession.expires_at)
    .join(ApiKey, ApiKey.id == BrowserSession.key_id)
    .where(BrowserSession.digest.in_(bindparam("digests", expanding=True)))
)


@dataclass(frozen=True)
class Holder:
    """A key that somebody showed, or that the session of his cookie stands for."""

    digest: bytes
    key_id: UUID
    controller_id: UUID
    scopes: Sequence[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    session_id: UUID | None = None
    session_expires_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        ends = [end for end in (self.expires_at, self.session_expires_at) if end is not None]
        return self.revoked_at is None and all(end > now for end in ends)

    def use_is_due(self, now: datetime) -> bool:
        """Whether it is time to note that the key is used."""
        return self.last_used_at is None or now - self.last_used_at >= service.LAST_USE_STEP

    @property
    def until(self) -> datetime | None:
        """When what was shown ends by itself."""
        return self.expires_at if self.session_id is None else self.session_expires_at


class Shown(NamedTuple):
    """The digest of a key, or of a session's token."""

    is_key: bool
    digest: bytes


class LookUps:
    """One for a process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._rounds: Rounds[Shown, Holder | None] = Rounds(
            self._look,
            name="look-up",
            most=TOGETHER,
            threads=THREADS,
            patience=PATIENCE_SECONDS,
            repeatable=True,
        )

    async def by_key(self, presented: str, *, now: datetime) -> Holder | None:
        """None unless it is a key of ours, unexpired and unrevoked."""
        digest = service.digest_of(self._runtime.keyring, presented)
        return await self._ask(Shown(True, digest), now) if digest else None

    async def by_token(self, token: str, *, now: datetime) -> Holder | None:
        """The same of a session's token: both the session and its key must be valid."""
        digest = sessions.digest_of(self._runtime.keyring, token)
        return await self._ask(Shown(False, digest), now) if digest else None

    async def _ask(self, shown: Shown, now: datetime) -> Holder | None:
        found = await self._rounds.ask(shown)
        if found is None or not hmac.compare_digest(found.digest, shown.digest):
            return None
        return found if found.is_valid(now) else None

    def _look(self, shown: Sequence[Shown]) -> Sequence[Holder | Exception | None]:
        try:
            with self._runtime.database.read() as session:
                found = look_up(session, set(shown))
        except problems.DATABASE_AWAY as error:
            # Logged once, and not for each of them.
            log.error("keys not looked up", exc_info=error)
            return [problems.database_away() for _ in shown]
        return [found.get(one) for one in shown]

    def close(self) -> None:
        self._rounds.close()


def look_up(session: Session, shown: set[Shown]) -> dict[Shown, Holder]:
    """Of digests that are known, whoever they stand for, valid or not."""
    found: dict[Shown, Holder] = {}
    for query, is_key in ((_KEYS, True), (_SESSIONS, False)):
        digests = [one.digest for one in shown if one.is_key is is_key]
        if digests:
            for row in session.execute(query, {"digests": digests}):
                found[Shown(is_key, row[0])] = Holder(*row)
    return found
