"""API keys: made once, shown once, kept as an HMAC, compared in constant time."""

import secrets
import string
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.db import rows_changed
from app.ids import api_key_id, controller_id, new_id
from app.keyring import Keyring
from app.keys.scopes import Scope
from app.keys.tables import ApiKey, Controller

PREFIX = "lot_"
RANDOM_CHARACTERS = 40
CHECKSUM_CHARACTERS = 6
SHOWN_CHARACTERS = 12
DEFAULT_CONTROLLER = "default"
# A key that is used all the time is written once a minute, not on every call.
LAST_USE_STEP = timedelta(minutes=1)

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def ensure_controller(session: Session, name: str, *, now: datetime) -> Controller:
    found = session.scalar(select(Controller).where(Controller.name == name))
    if found is not None:
        return found
    controller = Controller(name=name, created_at=now)
    session.add(controller)
    session.flush()
    return controller


def ensure_default_controller(session: Session, now: datetime) -> Controller:
    return ensure_controller(session, DEFAULT_CONTROLLER, now=now)


def create_key(
    session: Session,
    keyring: Keyring,
    *,
    controller: UUID,
    name: str,
    scopes: Iterable[Scope],
    actor: str,
    now: datetime,
    expires_at: datetime | None = None,
    succeeds: ApiKey | None = None,
    made_by: UUID | None = None,
) -> tuple[ApiKey, str]:
    """The row and the key itself, which cannot be had again. `succeeds` is the key that it takes
    the place of, `made_by` the one whose holder is shown it; None if that is the operator."""
    body = "".join(secrets.choice(_BASE62) for _ in range(RANDOM_CHARACTERS))
    plaintext = PREFIX + body + _checksum(body)
    identity = new_id()
    key = ApiKey(
        id=identity,
        holder_id=succeeds.holder_id if succeeds else identity,
        succeeds_id=succeeds.id if succeeds else None,
        made_by_id=made_by,
        controller_id=controller,
        name=name,
        prefix=plaintext[:SHOWN_CHARACTERS],
        digest=_digest(keyring, plaintext),
        scopes=sorted(set(scopes)),
        created_at=now,
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    log.append(
        session,
        kinds.KeyCreated(
            controller=controller_id(controller),
            key=api_key_id(key.id),
            scopes=key.scopes,
            expires_at=expires_at,
            actor=actor,
        ),
        now=now,
    )
    return key, plaintext


def is_valid(key: ApiKey, *, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def same_holder(session: Session, key_a: UUID, key_b: UUID) -> bool:
    """Whether one person may have both in hand: they are one key, or keys of one chain of
    rotations, or the same key had a part in making both."""
    return bool(_hands(session, key_a) & _hands(session, key_b))


def _hands(session: Session, key: UUID) -> set[UUID]:
    """The key, and every key whose holder was shown it or one that it comes from: those that it
    succeeds, and those that made any of them."""
    hands: set[UUID] = set()
    following = {key}
    while following:
        hands |= following
        rows = session.execute(
            select(ApiKey.holder_id, ApiKey.succeeds_id, ApiKey.made_by_id).where(
                ApiKey.id.in_(following)
            )
        )
        following = {one for row in rows for one in row if one is not None} - hands
    return hands


def note_use(session: Session, key_id: UUID, *, now: datetime) -> None:
    """The time, once a minute at most; and an entry in the log for the first use of a day (UTC),
    of which there is one, however many processes see it."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if _used(session, key_id, today, now):
        key = session.get_one(ApiKey, key_id)
        log.append(
            session,
            kinds.KeyUsed(controller=controller_id(key.controller_id), key=api_key_id(key_id)),
            now=now,
        )
    else:
        _used(session, key_id, now - LAST_USE_STEP, now)


def _used(session: Session, key_id: UUID, before: datetime, now: datetime) -> bool:
    """Writes the time, if the key was not used since `before`."""
    noted = session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id)
        .where((ApiKey.last_used_at.is_(None)) | (ApiKey.last_used_at < before))
        .values(last_used_at=now)
    )
    return rows_changed(noted) == 1


def well_formed(presented: str) -> bool:
    """Refuses a mistyped or foreign token by its checksum, before any look-up."""
    body = presented[len(PREFIX) : len(PREFIX) + RANDOM_CHARACTERS]
    return (
        presented.isascii()
        and presented.startswith(PREFIX)
        and len(body) == RANDOM_CHARACTERS
        and presented[len(PREFIX) + RANDOM_CHARACTERS :] == _checksum(body)
    )


def digest_of(keyring: Keyring, presented: str) -> bytes | None:
    """What is kept of such a key; None if there can be none."""
    return _digest(keyring, presented) if well_formed(presented) else None


def _digest(keyring: Keyring, plaintext: str) -> bytes:
    return keyring.digest("api-key", plaintext.encode("ascii"))


def _checksum(body: str) -> str:
    """CRC-32 of the random part in six base-62 digits: what secret scanners check."""
    value = zlib.crc32(body.encode("ascii"))
    digits = ""
    for _ in range(CHECKSUM_CHARACTERS):
        value, digit = divmod(value, 62)
        digits = _BASE62[digit] + digits
    return digits
