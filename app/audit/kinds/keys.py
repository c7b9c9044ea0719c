"""Bodies of what happens to API keys."""

from typing import Annotated

from pydantic import Field

from app.audit.kinds.base import Actor, Facts, Kind, ScopeName
from app.canonical import Instant
from app.ids import ApiKeyId, ControllerId


class KeyCreated(Facts):
    kind = Kind.KEY_CREATED
    controller: ControllerId
    key: ApiKeyId
    scopes: Annotated[tuple[ScopeName, ...], Field(min_length=1)]
    expires_at: Instant | None = None
    actor: Actor
