"""`/keys`: a controller's own API keys."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from app.http import idempotency
from app.http.idempotency import KeyHeader, RawBody
from app.http.pages import DEFAULT_LIMIT, Cursor, Limit, Page, newest_first
from app.http.problems import Conflict, FieldError, InvalidInput
from app.http.sessions import CurrentRuntime, Now, ReadSession, WriteSession
from app.ids import ApiKeyId, api_key_id
from app.keys import changing, service
from app.keys.auth import Caller, require
from app.keys.schemas import LONGEST_LIFE, KeyView, MakeKey, NewKey, RotateKey
from app.keys.scopes import Scope
from app.keys.tables import ApiKey

router = APIRouter(prefix="/keys", tags=["keys"])

Admin = Annotated[Caller, Depends(require(Scope.KEYS_ADMIN))]


class KeyShownBefore(Conflict):
    code = "key-shown-before"
    title = "A key is shown once"


@router.post("", status_code=201)
def make_key(
    body: MakeKey,
    raw: RawBody,
    caller: Admin,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    response: Response,
    key: KeyHeader = None,
) -> NewKey:
    """Makes a key of your own controller, with scopes that your own key has. The answer holds the
    key, which cannot be had again: a repeat with the same `Idempotency-Key` makes no second one,
    and is refused with the address of the first."""
    changing.hold_controller(session, caller.controller_id)
    changing.require_held(body.scopes, caller.scopes)
    _require_future(body.expires_at, now)
    owner = caller.controller_id
    digest = runtime.keyring.digest("key-body", owner.bytes + raw)
    hidden = runtime.keyring.digest("idempotency-key", key.encode()) if key else None
    if hidden and (known := idempotency.reserve(session, owner, hidden, digest, now=now)):
        raise KeyShownBefore(
            "This call has made a key already. If you do not have it, revoke it and make another "
            "with a new Idempotency-Key.",
            headers={"Location": _address(known)},
        )
    made, plaintext = service.create_key(
        session,
        runtime.keyring,
        controller=owner,
        name=body.name,
        scopes=body.scopes,
        actor=caller.actor,
        now=now,
        expires_at=body.expires_at,
        made_by=caller.key_id,
    )
    if hidden:
        idempotency.assign(session, owner, hidden, made.id)
    return _shown_once(response, made, plaintext, now)


@router.get("")
def list_keys(
    caller: Admin,
    session: ReadSession,
    now: Now,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[KeyView]:
    """Newest first, those that have ended among them."""
    query = changing.keys_of(caller.controller_id)
    rows, following = newest_first(session, query, ApiKey.id, cursor, limit)
    return Page(items=[_view(row, now) for row in rows], next_cursor=following)


@router.delete("/{id}")
def revoke_key(id: ApiKeyId, caller: Admin, session: WriteSession, now: Now) -> KeyView:
    """Ends a key at once, in every process. A repeat changes nothing. The last valid key with
    `keys:admin` stays."""
    row = changing.revoke(session, id, controller=caller.controller_id, actor=caller.actor, now=now)
    return _view(row, now)


@router.post("/{id}/rotate", status_code=201)
def rotate_key(
    id: ApiKeyId,
    body: RotateKey,
    caller: Admin,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    response: Response,
) -> NewKey:
    """Makes a successor with the same name and scopes. Both are valid during the overlap; then the
    old key expires. Your own key must have every scope of the old one."""
    _require_future(body.expires_at, now)
    made, plaintext = changing.rotate(
        session,
        runtime.keyring,
        id,
        controller=caller.controller_id,
        held=caller.scopes,
        overlap=body.overlap,
        actor=caller.actor,
        now=now,
        expires_at=body.expires_at,
        made_by=caller.key_id,
    )
    return _shown_once(response, made, plaintext, now)


def _require_future(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and not now < expires_at <= now + LONGEST_LIFE:
        raise InvalidInput(
            "One or more fields are missing or not valid.",
            errors=[
                FieldError(field="body.expires_at", message="must be within the next ten years")
            ],
        )


def _address(key: UUID) -> str:
    return f"/api/v1/keys/{api_key_id(key)}"


def _shown_once(response: Response, row: ApiKey, plaintext: str, now: datetime) -> NewKey:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Location"] = _address(row.id)
    return NewKey(**_view(row, now).model_dump(), key=plaintext)


def _view(row: ApiKey, now: datetime) -> KeyView:
    return KeyView(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=[Scope(scope) for scope in row.scopes],
        valid=service.is_valid(row, now=now),
        succeeds=row.succeeds_id,
        made_by=row.made_by_id,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
