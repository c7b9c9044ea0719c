"""Answers about API keys."""

from datetime import datetime

from pydantic import Field

from client.answers import Answer


class ApiKey(Answer):
    id: str
    name: str
    prefix: str
    scopes: list[str]
    valid: bool
    succeeds: str | None = None
    made_by: str | None = None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class NewApiKey(ApiKey):
    """`key` is the key itself, which the service shows this once."""

    key: str = Field(repr=False)
