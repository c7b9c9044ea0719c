"""The service's answers as frozen models, one file for each part of the API. Fields that a newer
service adds are ignored."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Page(Answer):
    items: list[dict[str, Any]]
    next_cursor: str | None = None
