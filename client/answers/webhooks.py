"""Answers about webhooks and their messages."""

from datetime import datetime

from client.answers import Answer


class Webhook(Answer):
    """Without `events` it hears of every event."""

    id: str
    url: str
    events: list[str] | None = None
    created_at: datetime
    disabled_at: datetime | None = None
    disabled_by: str | None = None
    previous_secret_until: datetime | None = None


class NewWebhook(Webhook):
    """`secret` is shown only now."""

    secret: str


class Delivery(Answer):
    """One message to one receiver; `id` is its `webhook-id`."""

    id: str
    webhook: str | None = None
    request: str | None = None
    named_by_request: bool = False
    event: str
    state: str
    attempts: int
    next_attempt_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
    created_at: datetime
    ended_at: datetime | None = None
