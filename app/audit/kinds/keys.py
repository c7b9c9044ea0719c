"""Bodies of what happens to controllers and their API keys."""

from typing import Annotated

from pydantic import Field

from app.audit.kinds.base import Actor, Facts, Kind, Place, ScopeName
from app.canonical import Count, Instant
from app.ids import ApiKeyId, ControllerId


class ControllerCreated(Facts):
    """By the operator; not of the default one, which a service begins with."""

    kind = Kind.CONTROLLER_CREATED
    controller: ControllerId
    jurisdiction: Place | None
    actor: Actor


class JurisdictionChanged(Facts):
    """Whose public holidays count for the due dates of requests that come from now on."""

    kind = Kind.JURISDICTION_CHANGED
    controller: ControllerId
    from_jurisdiction: Place | None
    jurisdiction: Place | None
    actor: Actor


class KeyCreated(Facts):
    kind = Kind.KEY_CREATED
    controller: ControllerId
    key: ApiKeyId
    scopes: Annotated[tuple[ScopeName, ...], Field(min_length=1)]
    expires_at: Instant | None = None
    actor: Actor


class KeyRotated(Facts):
    """`key` opens nothing after `expires_at`; what its successor may do says that one's own
    entry."""

    kind = Kind.KEY_ROTATED
    controller: ControllerId
    key: ApiKeyId
    successor: ApiKeyId
    expires_at: Instant
    actor: Actor


class KeyRevoked(Facts):
    kind = Kind.KEY_REVOKED
    controller: ControllerId
    key: ApiKeyId
    actor: Actor


class KeyUsed(Facts):
    """The first use of a key on a day (UTC)."""

    kind = Kind.KEY_USED
    controller: ControllerId
    key: ApiKeyId


class LoginRefused(Facts):
    """How many calls of one process showed no valid key in the minute that begins at `minute`."""

    kind = Kind.LOGIN_REFUSED
    minute: Instant
    count: Annotated[Count, Field(ge=1)]
