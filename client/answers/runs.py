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


class RunRequest(Answer):
    """A request whose item is in the run."""

    id: str
    external_id: str | None = None
    item: str


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
    requests: list[RunRequest] = Field(default_factory=list)


class SetHistogram(Answer):
    """`shares` are the bars to draw: unseen samples at the forget set's mix of classes."""

    size: int
    counts: list[int]
    shares: list[float]


class EntropyPlot(Answer):
    """In nats. `unseen` are the original model's answers, `unseen_after` the new one's."""

    edges: list[float]
    forget_before: SetHistogram
    forget_after: SetHistogram
    unseen: SetHistogram
    unseen_after: SetHistogram


class RocCurve(Answer):
    auc: float
    false_positive_rate: list[float]
    true_positive_rate: list[float]


class RocPair(Answer):
    before: RocCurve
    after: RocCurve


class NullPlot(Answer):
    """A same-model RF-JSD, in nats, and the histogram of its permuted values."""

    value: float
    p_up: float
    permutations: int
    edges: list[float]
    counts: list[int]


class NullPair(Answer):
    before: NullPlot
    after: NullPlot


class RunPlots(Answer):
    """What is None could not be computed, and `reasons` says why. `roc` has a curve by score."""

    entropy: EntropyPlot | None = None
    roc: dict[str, RocPair] | None = None
    rf_jsd: NullPair | None = None
    reasons: dict[str, str] = Field(default_factory=dict)


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
