"""`Idempotency-Key`: the same key with the same body names the same resource (IETF draft-ietf-
httpapi-idempotency-key-header). What is kept is a keyed fingerprint and the resource's id."""

import hmac
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.http.problems import Problem
from app.http.tables import IdempotencyKey

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="A value of your choice: a repeat with the same key and body is answered "
        "with the request that the first call created.",
    ),
]


class KeyReused(Problem):
    status = 409
    code = "idempotency-key-reused"
    title = "The Idempotency-Key belongs to another body"


async def raw_body(request: Request) -> bytes:
    """The bytes as received: what a repeat is compared with."""
    return await request.body()


RawBody = Annotated[bytes, Depends(raw_body)]


def reserve(
    session: Session, controller: UUID, key: bytes, fingerprint: bytes, *, now: datetime
) -> UUID | None:
    """The resource that this key created; or None, and the key is the caller's until it commits.

    `key` is a keyed digest of what the caller sent, who may have put anything into it.

    Two calls that arrive together meet at the primary key: the later one waits for the earlier.
    """
    row = IdempotencyKey(controller_id=controller, key=key, fingerprint=fingerprint, created_at=now)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        known = session.get_one(IdempotencyKey, (controller, key))
        if not hmac.compare_digest(known.fingerprint, fingerprint):
            raise KeyReused("Use a new key for a new request.") from None
        return known.resource_id
    return None


def assign(session: Session, controller: UUID, key: bytes, resource: UUID) -> None:
    """Names what a reserved key created."""
    session.get_one(IdempotencyKey, (controller, key)).resource_id = resource
