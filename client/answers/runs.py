"""Answers about runs and re-checks."""

from datetime import datetime
from typing import Any

from pydantic import Field

from client.answers import Answer
from client.answers.registry import CurrentVersion


class RunSummary(Answer):
    id: str
    model: str
    base_version: str
    rung: int
    step: str = "policy"
    attempt: int
    state: str
    method: str
    mode: str
    progress: dict[str, Any] | None = None
    error_class: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Run(RunSummary):
    base_number: int
    base_sha256: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any] | None = None
    seed: int
    device: str | None = None
    epochs: list[dict[str, Any]] = Field(default_factory=list)
    metrics: dict[str, Any] | None = None
    verdict: dict[str, Any] | None = None
    published_version: CurrentVersion | None = None
    error_detail: str | None = None
    items: list[str] = Field(default_factory=list)


class LastRecheck(Answer):
    """What the latest comparison of a completed case with a later version said."""

    recheck: str
    version: str
    state: str
    finished_at: datetime | None = None
    samples: int | None = None
    change: float | None = None
    standard_error: float | None = None
    q: float | None = None
    relapsed: bool = False
    skipped: str | None = None


class RecheckSummary(Answer):
    """All open cases of a model compared on one version; `pooled` has the figures of all."""

    id: str
    model: str
    version: CurrentVersion
    trigger: str
    state: str
    attempt: int
    case_count: int
    relapsed_count: int
    pooled: dict[str, Any] | None = None
    error_class: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Recheck(RecheckSummary):
    device: str | None = None
    code_version: str | None = None
    error_detail: str | None = None
    cases: list[dict[str, Any]] = Field(default_factory=list)
