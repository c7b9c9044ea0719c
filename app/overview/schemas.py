"""`GET /overview`. Nothing in it changes while nothing happens, so that a poll costs a 304."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from app.erasure.run_schemas import RunSummary
from app.erasure.states import RequestState
from app.erasure.tables import ErrorClass
from app.erasure.worker_tables import WorkerRole
from app.ids import ModelId, RequestId, RunId


class DueRequest(BaseModel):
    id: RequestId
    external_id: str | None
    state: RequestState
    due_at: datetime
    overdue: bool


class RequestCounts(BaseModel):
    by_state: Annotated[dict[RequestState, int], Field(description="Every state, zeros as well.")]
    open: Annotated[int, Field(description="Those that have not ended.")]
    due_soon: Annotated[int, Field(description="Open, not late, and due within seven days.")]
    overdue: Annotated[int, Field(description="Open and late. A clock that stands still is not.")]
    next_due: Annotated[list[DueRequest], Field(description="The first five open ones to be due.")]


class Queue(BaseModel):
    waiting_items: Annotated[int, Field(description="Items (a request on a model) in no run yet.")]
    waiting_models: int
    expected_completion_at: Annotated[
        datetime | None,
        Field(
            description="When the last of the live runs and of what waits will probably have "
            "ended, to the minute. None if nothing waits, or if no worker is there or a model has "
            "not been measured yet."
        ),
    ]


class LiveRun(RunSummary):
    model_name: str
    lease_lapsed: Annotated[
        bool, Field(description="Its worker fell silent; another will take the run over.")
    ]
    expected_end_at: datetime | None


class EndedRun(RunSummary):
    model_name: str


class OverviewWorker(BaseModel):
    name: str
    role: WorkerRole
    device: str | None
    alive: Annotated[bool, Field(description="Heard of in the last two minutes.")]
    last_heard_at: Annotated[datetime | None, Field(description="Of one that is not alive.")]
    current_run: Annotated[RunId | None, Field(description="If it is a run of yours.")]


class PausedModel(BaseModel):
    id: ModelId
    name: str
    until: datetime
    reason: ErrorClass | None


class Callbacks(BaseModel):
    waiting: int
    failed: Annotated[int, Field(description="Given up after 72 hours; they can be replayed.")]


class SignedHead(BaseModel):
    size: int
    at: datetime


class AuditHead(BaseModel):
    size: int
    root: str
    pending: Annotated[int, Field(description="Entries that have no place in the tree yet.")]
    checkpoint: Annotated[SignedHead | None, Field(description="The newest signed head.")]
    rewound: Annotated[
        bool, Field(description="The log does not continue what was signed. Nothing is signed.")
    ]


class Overview(BaseModel):
    requests: RequestCounts
    queue: Queue
    runs: Annotated[list[LiveRun], Field(description="Live ones, what is due first comes first.")]
    last_runs: Annotated[list[EndedRun], Field(description="The last ten that ended.")]
    workers: Annotated[list[OverviewWorker], Field(description="Of the last day.")]
    paused_models: Annotated[
        list[PausedModel], Field(description="Whose runs keep failing: none begins before `until`.")
    ]
    callbacks: Callbacks
    audit: AuditHead
    paused: Annotated[
        bool, Field(description="No run begins: after a restore, until a person says go.")
    ]
