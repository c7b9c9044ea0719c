"""The service's answers as frozen models. Fields that a newer service adds are ignored."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

# A request in one of these changes no more by itself.
ENDED = frozenset({"completed", "cancelled", "refused"})
# A request in one of these waits until a person acts.
WAITS_FOR_PERSON = frozenset({"awaiting_approval", "on_hold", "needs_decision", "failed"})


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Page(Answer):
    items: list[dict[str, Any]]
    next_cursor: str | None = None


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
    class_names: list[str] = []
    subject_columns: list[dict[str, Any]] = []
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
    config: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    training_recipe: dict[str, Any] | None = None
    current_version: CurrentVersion | None = None
    paused: Pause | None = None
    created_at: datetime
    ready_at: datetime | None = None


class ErasureItem(Answer):
    id: str
    model: str
    model_name: str
    state: str
    run: str | None = None
    forget_count: int
    held_out_count: int
    numbers: dict[str, Any] | None = None
    error_class: str | None = None
    published_at: datetime | None = None


class Certificate(Answer):
    id: str
    state: str
    payload_sha256: str
    replaces: str | None = None
    created_at: datetime


class ErasureSummary(Answer):
    id: str
    external_id: str | None = None
    state: str
    outcome: str | None = None
    reason_code: str | None = None
    earlier_request: str | None = None
    regulation: str
    legal_ground: str | None = None
    submitted_at: datetime
    received_at: datetime
    due_at: datetime
    overdue: bool
    completed_at: datetime | None = None
    closes_at: datetime | None = None
    closed_at: datetime | None = None
    updated_at: datetime

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def waits_for_person(self) -> bool:
        return self.state in WAITS_FOR_PERSON


class Erasure(ErasureSummary):
    items: list[ErasureItem]
    certificate: Certificate | None = None


class ModelImpact(Answer):
    model: str
    name: str
    forget_count: int
    held_out_count: int
    retain_count: int
    unseen_count: int
    estimated_seconds: float | None = None
    provable_margin: float | None = None
    enough_data: bool


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
    settings: dict[str, Any] = {}
    config: dict[str, Any] | None = None
    seed: int
    device: str | None = None
    epochs: list[dict[str, Any]] = []
    metrics: dict[str, Any] | None = None
    verdict: dict[str, Any] | None = None
    published_version: CurrentVersion | None = None
    error_detail: str | None = None
    items: list[str] = []


class AuditEntry(Answer):
    """`index` is empty until the sequencer has given the entry its place in the log."""

    index: int | None
    kind: str
    facts: dict[str, Any]
    leaf_hash: str
    created_at: datetime


class AuditHead(Answer):
    """The log's tree: how many entries it has and their root. `pending` wait for their place."""

    size: int
    root: str
    pending: int


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
