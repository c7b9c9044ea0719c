"""Erasure: a request has items (one per model), and a run works on the items of one model."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, BigId, enum_text
from app.erasure.decision_tables import HoldReason
from app.erasure.states import (
    LIVE_RUN,
    OPEN_REQUEST,
    ItemState,
    Outcome,
    Reopening,
    RequestState,
    RunState,
    RunStep,
)
from app.ids import new_id
from app.registry.policy import Approval


class Regulation(StrEnum):
    GDPR = "gdpr"
    CCPA = "ccpa"


class LegalGround(StrEnum):
    """GDPR Art. 17(1)(a) to (f)."""

    NO_LONGER_NECESSARY = "no_longer_necessary"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    OBJECTION = "objection"
    UNLAWFUL_PROCESSING = "unlawful_processing"
    LEGAL_OBLIGATION = "legal_obligation"
    CHILD_SERVICES = "child_services"


class ReasonCode(StrEnum):
    """Why a request ended as it did, where the outcome alone does not say it."""

    NO_SAMPLES = "no_samples"
    HELD_OUT_ONLY = "held_out_only"
    PREVIOUSLY_UNLEARNED = "previously_unlearned"
    # GDPR Art. 17(3)(a) to (e), and the two that any controller may meet.
    FREEDOM_OF_EXPRESSION = "freedom_of_expression"
    LEGAL_OBLIGATION = "legal_obligation"
    PUBLIC_HEALTH = "public_health"
    ARCHIVING_OR_RESEARCH = "archiving_or_research"
    LEGAL_CLAIMS = "legal_claims"
    IDENTITY_NOT_VERIFIED = "identity_not_verified"
    MANIFESTLY_UNFOUNDED = "manifestly_unfounded"


class ErrorClass(StrEnum):
    """Why a run failed. Retryable: crashed, out_of_memory, storage. The others need a person."""

    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    STORAGE = "storage"
    MISSING_DATA = "missing_data"
    ARCHITECTURE = "architecture"
    NUMERICAL = "numerical"
    SETTINGS = "settings"
    INTERNAL = "internal"


_live = ", ".join(f"'{state}'" for state in LIVE_RUN)
_is_live = text(f"state IN ({_live})")
_open = ", ".join(f"'{state}'" for state in OPEN_REQUEST)
# Word for word what the index says: with bound values neither database would use it.
IS_OPEN = text(f"erasure_requests.state IN ({_open})")
_is_open = text(f"state IN ({_open})")
_has_reminder = text("remind_at IS NOT NULL")
_has_closing = text("next_closing_at IS NOT NULL")


class ErasureRequest(Base):
    __tablename__ = "erasure_requests"
    __table_args__ = (
        UniqueConstraint("controller_id", "external_id"),
        # Ids are time-ordered: a list is read newest first along one of these.
        Index("ix_erasure_requests_page", "controller_id", "id"),
        Index("ix_erasure_requests_state_page", "controller_id", "state", "id"),
        # Overdue and due soon, by the date that counts (`queue.effective_due`).
        Index(
            "ix_erasure_requests_due_page",
            "controller_id",
            "state",
            text("coalesce(extended_due_at, due_at)"),
            "id",
        ),
        Index("ix_erasure_requests_updated_page", "controller_id", "updated_at", "id"),
        # What is counted at every scrape, whichever controller it belongs to.
        Index(
            "ix_erasure_requests_open",
            "state",
            "received_at",
            "due_at",
            "extended_due_at",
            "paused_since",
            sqlite_where=_is_open,
            postgresql_where=_is_open,
        ),
        # Few have anything left to do: those whose rollback window runs, and those being closed.
        Index(
            "ix_erasure_requests_closing",
            "next_closing_at",
            sqlite_where=_has_closing,
            postgresql_where=_has_closing,
        ),
        Index(
            "ix_erasure_requests_reminders",
            "remind_at",
            sqlite_where=_has_reminder,
            postgresql_where=_has_reminder,
        ),
        CheckConstraint(
            "(state = 'completed') = (outcome IS NOT NULL)", name="outcome_if_completed"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    controller_id: Mapped[UUID] = mapped_column(ForeignKey("controllers.id"))
    external_id: Mapped[str | None] = mapped_column(String(200))
    regulation: Mapped[Regulation] = mapped_column(enum_text(Regulation))
    legal_ground: Mapped[LegalGround | None] = mapped_column(enum_text(LegalGround))
    state: Mapped[RequestState] = mapped_column(enum_text(RequestState))
    outcome: Mapped[Outcome | None] = mapped_column(enum_text(Outcome))
    reason_code: Mapped[ReasonCode | None] = mapped_column(enum_text(ReasonCode))
    # The earlier case that already unlearned this person, where reason_code says so.
    earlier_request_id: Mapped[UUID | None] = mapped_column(ForeignKey("erasure_requests.id"))
    submitted_at: Mapped[datetime]
    received_at: Mapped[datetime]
    due_at: Mapped[datetime]
    extended_due_at: Mapped[datetime | None]
    # Whose public holidays the dates are reckoned with: the controller's, when the request came.
    jurisdiction: Mapped[str | None] = mapped_column(String(6))
    # When to see whether somebody has to be reminded; empty once the request has ended.
    remind_at: Mapped[datetime | None]
    extension_reason: Mapped[str | None] = mapped_column(String(200))
    # When the caller wants it done, before the law's own date: work is ordered by it.
    wanted_by: Mapped[datetime | None]
    notified_at: Mapped[datetime | None]
    # [{from, until}] in RFC 3339: intervals in which the legal clock stood still. The due dates are
    # moved by them. Where it stands still now, since when.
    paused: Mapped[list[Any]]
    paused_since: Mapped[datetime | None]
    # What the models concerned ask for; nothing is done before it is given.
    approval: Mapped[Approval] = mapped_column(
        enum_text(Approval), default=Approval.NONE, server_default=Approval.NONE
    )
    approved_at: Mapped[datetime | None]
    # Of a request on hold; `held_until` is when somebody wants to look again.
    hold_reason: Mapped[HoldReason | None] = mapped_column(enum_text(HoldReason))
    held_until: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    # When closing has to look at the case: at the end of its rollback window, and once it is closed
    # until everything is destroyed. Empty if there is nothing to do.
    next_closing_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    # Keyed digest of the body as received: tells a repeat from a conflict without keeping either.
    body_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    # The caller's choice of models; empty for every model of the controller.
    model_scope: Mapped[list[Any] | None]
    submitted_by: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    row_version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(index=True)

    @property
    def is_unapproved(self) -> bool:
        return self.approval is not Approval.NONE and self.approved_at is None


class RequestSubject(Base):
    """One identity of the person, under one pseudonym key. `position` counts the identities."""

    __tablename__ = "request_subjects"

    request_id: Mapped[UUID] = mapped_column(ForeignKey("erasure_requests.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    identity_type: Mapped[str] = mapped_column(String(64))
    subject_ref: Mapped[bytes] = mapped_column(LargeBinary(32), index=True)
    suppression_tag: Mapped[bytes] = mapped_column(LargeBinary(32), index=True)


class ErasureItem(Base):
    """One request on one model. `numbers` are this person's own figures in a shared run."""

    __tablename__ = "erasure_items"
    __table_args__ = (
        UniqueConstraint("request_id", "model_id"),
        Index("ix_erasure_items_waiting", "model_id", "state"),
        # The requests of a model, newest first.
        Index("ix_erasure_items_page", "model_id", "request_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("erasure_requests.id"))
    model_id: Mapped[UUID] = mapped_column(ForeignKey("models.id"))
    state: Mapped[ItemState] = mapped_column(enum_text(ItemState))
    # The run that holds the item or, once published, the run that unlearned its samples.
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("runs.id"), index=True)
    forget_count: Mapped[int]
    held_out_count: Mapped[int]
    numbers: Mapped[dict[str, Any] | None]
    error_class: Mapped[ErrorClass | None] = mapped_column(enum_text(ErrorClass))
    # Why the item was refused; the request's own reason follows from it.
    reason_code: Mapped[ReasonCode | None] = mapped_column(enum_text(ReasonCode))
    accepted_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    # When it was published and had to wait again, and how often for a relapse.
    reopened_at: Mapped[datetime | None]
    reopened_for: Mapped[Reopening | None] = mapped_column(enum_text(Reopening))
    relapses: Mapped[int] = mapped_column(default=0, server_default="0")
    # Never read: it lets the two be written together, the request first.
    _request: Mapped[ErasureRequest] = relationship(lazy="raise")


class ItemSample(Base):
    """The item's exact samples, of every split, frozen when its first run is formed."""

    __tablename__ = "item_samples"

    item_id: Mapped[UUID] = mapped_column(ForeignKey("erasure_items.id"), primary_key=True)
    sample_id: Mapped[int] = mapped_column(ForeignKey("samples.id"), primary_key=True, index=True)


class Run(Base):
    """One unlearning of one model. Its items, method, settings and seed never change."""

    __tablename__ = "runs"
    __table_args__ = (
        Index(
            "uq_runs_one_live_per_model",
            "model_id",
            unique=True,
            sqlite_where=_is_live,
            postgresql_where=_is_live,
        ),
        Index("ix_runs_device_time", "device", "started_at", "finished_at"),
        CheckConstraint(
            "(state IN ('running', 'verifying', 'publishing')) = (lease_until IS NOT NULL)",
            name="lease_if_held",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("models.id"))
    base_version_id: Mapped[UUID] = mapped_column(ForeignKey("model_versions.id"))
    # The run whose items this one took over after a cancel, a rejection or a new base version.
    follows_id: Mapped[UUID | None] = mapped_column(ForeignKey("runs.id"))
    # How many rejected runs came before: each halves the levels of the tests.
    rung: Mapped[int] = mapped_column(default=0)
    step: Mapped[RunStep] = mapped_column(enum_text(RunStep), server_default=RunStep.POLICY)
    # The fencing token: a write that names another attempt finds no row.
    attempt: Mapped[int] = mapped_column(default=0)
    # Attempts that ended without a result and not by a stop of the service.
    crashes: Mapped[int] = mapped_column(default=0)
    # Those of them that ran out of memory: each halves the parts that a batch is computed in.
    memory_faults: Mapped[int] = mapped_column(default=0, server_default="0")
    # A queued run waits until then: an attempt that failed is not repeated at once.
    not_before: Mapped[datetime | None]
    state: Mapped[RunState] = mapped_column(enum_text(RunState), index=True)
    lease_until: Mapped[datetime | None]
    worker_id: Mapped[UUID | None] = mapped_column(ForeignKey("workers.id"))
    method: Mapped[str] = mapped_column(String(40))
    mode: Mapped[str] = mapped_column(String(40))
    # What the policy or a decision asked for, and the complete config that was planned from it for
    # the run's own sizes; the second is written when the run starts.
    settings: Mapped[dict[str, Any]]
    config: Mapped[dict[str, Any] | None]
    seed: Mapped[int] = mapped_column(BigInteger)
    device: Mapped[str | None] = mapped_column(String(100))
    code_version: Mapped[str | None] = mapped_column(String(64))
    progress: Mapped[dict[str, Any] | None]
    epochs: Mapped[list[Any] | None] = mapped_column(deferred=True)
    metrics: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)
    # Until a case of the run is closed: it tells more of single samples than the figures do.
    plots: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)
    verdict: Mapped[str | None] = mapped_column(String(40))
    verdict_detail: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)
    candidate_version_id: Mapped[UUID | None] = mapped_column(ForeignKey("model_versions.id"))
    error_class: Mapped[ErrorClass | None] = mapped_column(enum_text(ErrorClass))
    error_detail: Mapped[str | None] = mapped_column(String(500))
    due_at: Mapped[datetime]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class RunItem(Base):
    """Which items a run was formed with: history, where `ErasureItem.run_id` is the present."""

    __tablename__ = "run_items"

    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    item_id: Mapped[UUID] = mapped_column(
        ForeignKey("erasure_items.id"), primary_key=True, index=True
    )


class UnlearnedSample(Base):
    """A sample that this model may no longer be trained on, calibrated with or tested on.

    `leaf` is the sample's part in the commitment to the run's forget set, kept once its reference
    is destroyed. `relapsed_at`: later versions know the sample again, and the run counts no longer.
    """

    __tablename__ = "unlearned_samples"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("models.id"), primary_key=True)
    sample_id: Mapped[int] = mapped_column(ForeignKey("samples.id"), primary_key=True, index=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    leaf: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    relapsed_at: Mapped[datetime | None]


class SuppressionEntry(Base):
    """A person whose data must not come back, as a keyed tag."""

    __tablename__ = "suppression_entries"
    # Listed by case, and removed when their time is over.
    __table_args__ = (Index("ix_suppression_entries_page", "controller_id", "request_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    controller_id: Mapped[UUID] = mapped_column(ForeignKey("controllers.id"))
    tag: Mapped[bytes] = mapped_column(LargeBinary(32), index=True)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("erasure_requests.id"))
    created_at: Mapped[datetime]
    until: Mapped[datetime] = mapped_column(index=True)
