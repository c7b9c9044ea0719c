"""The overview that a dashboard polls."""

from datetime import datetime

from pydantic import Field

from client.answers import Answer
from client.answers.runs import RunSummary


class DueErasure(Answer):
    id: str
    external_id: str | None = None
    state: str
    due_at: datetime
    overdue: bool


class ErasureCounts(Answer):
    by_state: dict[str, int]
    open: int
    due_soon: int
    overdue: int
    next_due: list[DueErasure] = Field(default_factory=list)


class Queue(Answer):
    waiting_items: int
    waiting_models: int
    expected_completion_at: datetime | None = None


class OverviewRun(RunSummary):
    """`lease_lapsed` and `expected_end_at` are those of a live run."""

    model_name: str
    verdict: str | None = None
    lease_lapsed: bool = False
    expected_end_at: datetime | None = None


class OverviewWorker(Answer):
    name: str
    role: str
    device: str | None = None
    alive: bool
    last_heard_at: datetime | None = None
    current_run: str | None = None


class PausedModel(Answer):
    id: str
    name: str
    until: datetime
    reason: str | None = None


class Callbacks(Answer):
    waiting: int
    failed: int


class SignedHead(Answer):
    size: int
    at: datetime


class OverviewHead(Answer):
    size: int
    root: str
    pending: int
    checkpoint: SignedHead | None = None
    rewound: bool = False


class Overview(Answer):
    requests: ErasureCounts
    queue: Queue
    runs: list[OverviewRun] = Field(default_factory=list)
    last_runs: list[OverviewRun] = Field(default_factory=list)
    workers: list[OverviewWorker] = Field(default_factory=list)
    paused_models: list[PausedModel] = Field(default_factory=list)
    callbacks: Callbacks
    audit: OverviewHead
    paused: bool = False
