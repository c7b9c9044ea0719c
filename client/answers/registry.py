"""Answers about datasets, models and versions."""

from datetime import datetime
from typing import Any

from pydantic import Field

from client.answers import Answer


class Artifact(Answer):
    sha256: str
    size: int
    media_type: str
    state: str


class Registration(Answer):
    """What datasets, models and versions have in common while a worker checks them."""

    id: str
    state: str
    problem: dict[str, Any] | None = None


class Dataset(Registration):
    name: str
    task: str
    class_names: list[str] = Field(default_factory=list)
    subject_columns: list[dict[str, Any]] = Field(default_factory=list)
    split_counts: dict[str, int] | None = None
    suppressed_rows: int | None = None
    created_at: datetime
    ready_at: datetime | None = None


class Version(Registration):
    model: str | None = None
    number: int
    sha256: str
    parent: str | None = None
    run: str | None = None
    created_at: datetime | None = None
    published_at: datetime | None = None
    taken_back_at: datetime | None = None


class CurrentVersion(Answer):
    id: str
    number: int
    sha256: str


class Pause(Answer):
    """Runs of a model kept failing: until then none begins."""

    until: datetime
    reason: str | None = None
    consecutive_failures: int


class Model(Registration):
    name: str
    dataset: str
    architecture: str
    config: dict[str, Any] = Field(default_factory=dict)
    policy: dict[str, Any] = Field(default_factory=dict)
    training_recipe: dict[str, Any] | None = None
    current_version: CurrentVersion | None = None
    paused: Pause | None = None
    created_at: datetime
    ready_at: datetime | None = None


class Recipient(Answer):
    """A key that pulled a version of a model."""

    key: str
    name: str
    version: str
    number: int
    sha256: str
    first_at: datetime
    last_at: datetime
    count: int
