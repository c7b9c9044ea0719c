"""Bodies of what happens to receivers of callbacks. A URL is here as a keyed digest only."""

from typing import Annotated

from pydantic import Field

from app.audit.kinds.base import Actor, Facts, Kind
from app.canonical import Code, Count, Instant, Sha256
from app.ids import ControllerId, MessageId, RequestId, WebhookId

EventName = Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z_]+$", max_length=64)]


class WebhookCreated(Facts):
    """`events` is empty for all of them."""

    kind = Kind.WEBHOOK_CREATED
    controller: ControllerId
    webhook: WebhookId
    url_digest: Sha256
    events: tuple[EventName, ...]
    actor: Actor


class WebhookRemoved(Facts):
    kind = Kind.WEBHOOK_REMOVED
    controller: ControllerId
    webhook: WebhookId
    actor: Actor


class WebhookDisabled(Facts):
    kind = Kind.WEBHOOK_DISABLED
    controller: ControllerId
    webhook: WebhookId
    by: Code
    actor: Actor


class WebhookEnabled(Facts):
    kind = Kind.WEBHOOK_ENABLED
    controller: ControllerId
    webhook: WebhookId
    actor: Actor


class WebhookSecretRotated(Facts):
    kind = Kind.WEBHOOK_SECRET_ROTATED
    controller: ControllerId
    webhook: WebhookId
    previous_until: Instant
    actor: Actor


class WebhookDead(Facts):
    """A message that was given up. `webhook` is empty for a receiver that one request named."""

    kind = Kind.WEBHOOK_DEAD
    controller: ControllerId
    request: RequestId | None
    webhook: WebhookId | None
    message: MessageId
    event: EventName
    attempts: Count
    error: Code
    status: Count | None
    url_digest: Sha256
