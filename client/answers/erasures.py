"""Answers about erasure requests."""

from datetime import datetime
from typing import Any

from pydantic import Field

from client.answers import Answer
from client.answers.runs import LastRecheck

# A request in one of these changes no more by itself.
ENDED = frozenset({"completed", "cancelled", "refused"})
# A request in one of these waits until a person acts.
WAITS_FOR_PERSON = frozenset({"awaiting_approval", "on_hold", "needs_decision", "failed"})


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
    pauses: list[PauseInterval] = Field(default_factory=list)


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
    decisions: list[Decision] = Field(default_factory=list)
    expected_completion_at: datetime | None = None
    reopened_at: datetime | None = None
    reopened_for: str | None = None
    items: list[ErasureItem]
    certificate: Certificate | None = None


class BulkAnswer(Answer):
    """What became of one row: `accepted`, `repeated`, `invalid`, `conflict` or `failed`."""

    row: int
    status: str
    id: str | None = None
    state: str | None = None
    problem: dict[str, Any] | None = None


class BulkSummary(Answer):
    complete: bool
    rows: int
    problem: dict[str, Any] | None = None


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
