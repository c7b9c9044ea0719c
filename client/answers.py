"""The service's answers as frozen models. Fields that a newer service adds are ignored."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

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
    cases: list[dict[str, Any]] = []


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
    reopened_at: datetime | None = None
    reopened_for: str | None = None
    relapses: int = 0
    last_recheck: LastRecheck | None = None


class Certificate(Answer):
    id: str
    state: str
    payload_sha256: str
    replaces: str | None = None
    log_index: int | None = None
    created_at: datetime
    issued_at: datetime | None = None


class Wait(Answer):
    """Who moves the request on, and by when it should have happened."""

    by: str
    since: datetime
    until: datetime
    late: bool


class Hold(Answer):
    reason: str
    until: datetime | None = None


class PauseInterval(Answer):
    """The legal clock stood still; `until` is empty while it does."""

    since: datetime
    until: datetime | None = None


class Deadline(Answer):
    first_due_at: datetime
    extended_due_at: datetime | None = None
    extension_reason: str | None = None
    notified_at: datetime | None = None
    pauses: list[PauseInterval] = []


class Decision(Answer):
    """What a person decided about the whole request."""

    action: str
    reason: str | None = None
    until: datetime | None = None
    evidence_sha256: str | None = None
    note: str | None = None
    decided_by: str
    decided_at: datetime


class Approval(Answer):
    asked: str
    approved_at: datetime | None = None


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
    clock_paused_since: datetime | None = None
    waits_for: Wait | None = None
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
    approval: Approval | None = None
    hold: Hold | None = None
    deadline: Deadline | None = None
    decisions: list[Decision] = []
    reopened_at: datetime | None = None
    reopened_for: str | None = None
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


class CaseRecipient(Answer):
    """A key with which weights were pulled that were trained on the person's samples."""

    model: str
    model_name: str
    key: str
    name: str
    numbers: list[int]
    first_at: datetime
    last_at: datetime
    renewed_at: datetime | None = None


class CaseRecipients(Answer):
    """`complete` is False if a version was served before pulls were recorded."""

    items: list[CaseRecipient]
    complete: bool


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


class SigningKey(Answer):
    """A public key of checkpoints and certificates; `until` is empty for the one in use."""

    key_id: str
    pem: str
    vkey: str
    since: datetime
    until: datetime | None = None


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
