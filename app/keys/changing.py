"""What becomes of keys after they were made: their revocation, and their rotation.

A change locks the controller's row first, so that two changes at once cannot each rely on a key
that the other one ends.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, or_, select
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.http.problems import Conflict, NotFound, Problem
from app.ids import api_key_id, controller_id
from app.keyring import Keyring
from app.keys import sessions
from app.keys.scopes import Scope
from app.keys.service import create_key, is_valid
from app.keys.tables import ApiKey, Controller

OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=30)
# Valid at a time: a key and its successor.
AT_A_TIME = 2

# Made once, as every call that writes asks it.
_REVOKED = (
    select(ApiKey.id)
    .where(ApiKey.id.in_(bindparam("keys", expanding=True)), ApiKey.revoked_at.is_not(None))
    .limit(1)
)


class UnknownKey(NotFound):
    code = "unknown-key"
    title = "No such key"


class PrivilegeEscalation(Problem):
    status = 403
    code = "privilege-escalation"
    title = "Nobody hands on a scope that he lacks"


class LastAdminKey(Conflict):
    code = "last-admin-key"
    title = "The last key that can manage keys"


class KeyNotValid(Conflict):
    code = "key-not-valid"
    title = "The key has expired or was revoked"


class RotationUnderWay(Conflict):
    code = "rotation-under-way"
    title = "The key and another one in its place are both valid"


def keys_of(controller: UUID) -> Select[ApiKey]:
    return select(ApiKey).where(ApiKey.controller_id == controller)


def require_held(wanted: Collection[str], held: Collection[str]) -> None:
    """Whoever could hand on what he lacks would have it himself a moment later."""
    missing = sorted(set(wanted) - set(held))
    if missing:
        raise PrivilegeEscalation(f"Your own key lacks the scope {', '.join(missing)}.")


def revoke(
    session: Session, key: UUID, *, controller: UUID, actor: str, now: datetime, last: bool = False
) -> ApiKey:
    """From the commit on the key and its sessions open nothing, whoever asks. A repeat changes
    nothing.

    A controller's last valid key that can manage keys stays, unless `last` says otherwise: without
    it only the operator could make another.
    """
    row = _held_key(session, key, controller)
    if row.revoked_at is not None:
        return row
    if not last and is_valid(row, now=now) and _is_last_admin(session, row, now):
        raise LastAdminKey(
            "Make another key with keys:admin first, or rotate this one without an overlap."
        )
    row.revoked_at = now
    session.info.setdefault("revoked", set()).add(row.id)
    sessions.end_all(session, row.id)
    log.append(
        session,
        kinds.KeyRevoked(controller=controller_id(controller), key=api_key_id(row.id), actor=actor),
        now=now,
    )
    return row


def any_revoked_elsewhere(session: Session, keys: Collection[UUID]) -> bool:
    """By another transaction: a key may revoke itself."""
    asked = list(set(keys) - session.info.get("revoked", set()))
    return bool(asked) and session.scalar(_REVOKED, {"keys": asked}) is not None


def rotate(
    session: Session,
    keyring: Keyring,
    key: UUID,
    *,
    controller: UUID,
    held: Collection[str],
    overlap: timedelta,
    actor: str,
    now: datetime,
    expires_at: datetime | None = None,
    made_by: UUID | None = None,
) -> tuple[ApiKey, str]:
    """A successor with the same name and scopes, and the key itself; the old one ends after
    `overlap`, or earlier if it would have expired before. `held` are the scopes of who asks.

    The old key's sessions end at once: the overlap is for programs that take time to change, and a
    person logs in with the successor.

    Without `expires_at` the successor lives as long as the old one was given to live, if it was
    given an end at all.
    """
    old = _held_key(session, key, controller)
    require_held(old.scopes, held)
    if not is_valid(old, now=now):
        raise KeyNotValid("Make a new key instead.")
    family = select(ApiKey).where(ApiKey.holder_id == old.holder_id, _valid(now))
    if len(session.scalars(family).all()) >= AT_A_TIME:
        raise RotationUnderWay("Revoke one of the two, or wait until the older one expires.")
    if expires_at is None and old.expires_at is not None:
        expires_at = now + (old.expires_at - old.created_at)
    successor, plaintext = create_key(
        session,
        keyring,
        controller=controller,
        name=old.name,
        scopes=[Scope(scope) for scope in old.scopes],
        actor=actor,
        now=now,
        expires_at=expires_at,
        succeeds=old,
        made_by=made_by,
    )
    old.expires_at = min(old.expires_at or now + overlap, now + overlap)
    sessions.end_all(session, old.id)
    log.append(
        session,
        kinds.KeyRotated(
            controller=controller_id(controller),
            key=api_key_id(old.id),
            successor=api_key_id(successor.id),
            expires_at=old.expires_at,
            actor=actor,
        ),
        now=now,
    )
    return successor, plaintext


def hold_controller(session: Session, controller: UUID) -> None:
    """No key of it is revoked, rotated or made by anybody else until the transaction ends."""
    session.execute(
        select(Controller.id).where(Controller.id == controller).with_for_update(key_share=True)
    )


def _held_key(session: Session, key: UUID, controller: UUID) -> ApiKey:
    """The key's row as it is now, with the controller's row locked. Unknown and foreign ids are
    answered alike."""
    hold_controller(session, controller)
    row = session.get(ApiKey, key, populate_existing=True)
    if row is None or row.controller_id != controller:
        raise UnknownKey("No key of yours has this id.")
    return row


def _is_last_admin(session: Session, key: ApiKey, now: datetime) -> bool:
    valid = session.scalars(keys_of(key.controller_id).where(_valid(now))).all()
    admins = [one.id for one in valid if Scope.KEYS_ADMIN in one.scopes]
    return admins == [key.id]


def _valid(now: datetime) -> ColumnElement[bool]:
    return ApiKey.revoked_at.is_(None) & or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
