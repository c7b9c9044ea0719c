"""The wire form of erasure requests, items and runs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.certificates.tables import CertificateState
from app.erasure.decision_schemas import (
    ApprovalView,
    DeadlineView,
    DecisionView,
    HoldView,
    LegalReason,
    WaitView,
)
from app.erasure.recheck_schemas import LastRecheck
from app.erasure.states import (
    ItemState,
    Outcome,
    Reopening,
    RequestState,
)
from app.erasure.tables import ErrorClass, LegalGround, ReasonCode, Regulation
from app.http.times import Time
from app.identities import DEFAULT_TYPE, LONGEST_VALUE, TYPE_PATTERN, IdentityFormat
from app.ids import CertificateId, ItemId, ModelId, RequestId, RunId
from app.registry.method_settings import Method, SettingsOfMethod
from app.webhooks.addresses import LONGEST_URL
from app.webhooks.service import MOST_CALLBACKS


class _Input(BaseModel):
    # Nothing of an input may appear in an error message.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class SubjectIdentity(_Input):
    """One identity of the person. Never stored: it becomes a keyed reference at once."""

    type: Annotated[str, Field(pattern=TYPE_PATTERN)] = DEFAULT_TYPE
    value: Annotated[str, Field(min_length=1, max_length=LONGEST_VALUE, repr=False)]
    format: IdentityFormat = IdentityFormat.RAW


Subjects = Annotated[list[SubjectIdentity], Field(min_length=1, max_length=20)]
Models = Annotated[
    list[ModelId] | None,
    Field(min_length=1, max_length=100, description="Default: every model of the controller."),
]


ExternalId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+$",
        description="Your case number: the same one with the same content is the same request.",
    ),
]


class SubmitErasure(_Input):
    external_id: ExternalId | None = None
    subjects: Subjects
    regulation: Regulation
    legal_ground: LegalGround | None = None
    submitted_at: Annotated[
        Time | None,
        Field(
            description="When the person's request reached you: the legal period runs from then. "
            "Default: now."
        ),
    ] = None
    models: Models = None
    callback_urls: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]] | None,
        Field(
            min_length=1,
            max_length=MOST_CALLBACKS,
            description="Receivers that hear of this request, each at the host of a registered "
            "webhook, whose secret signs.",
        ),
    ] = None


class BulkRow(SubmitErasure):
    """One of many. Its case number is what a repeat is known by."""

    external_id: ExternalId


class ImpactQuestion(_Input):
    subjects: Subjects
    models: Models = None


class DecideAction(_Input):
    item: ItemId
    action: Annotated[
        Literal["retry", "retrain", "accept", "refuse"],
        Field(
            description="retry: another run with `method` and `settings`; retrain: exact "
            "retraining by the model's training recipe; accept: publish the rejected candidate "
            "with its true verdict; refuse: end the item with `reason_code`."
        ),
    ]
    method: Annotated[
        Method | None, Field(description="retry only. Default: the method of the policy.")
    ] = None
    settings: Annotated[
        SettingsOfMethod | None,
        Field(description="retry only: settings of the method that replace the planned ones."),
    ] = None
    reason_code: LegalReason | None = None


class ItemView(BaseModel):
    id: ItemId
    model: ModelId
    model_name: str
    state: ItemState
    run: RunId | None
    forget_count: int
    held_out_count: int
    numbers: dict[str, Any] | None
    error_class: ErrorClass | None
    published_at: datetime | None
    reopened_at: Annotated[
        datetime | None, Field(description="When it was published and had to wait again.")
    ]
    reopened_for: Annotated[Reopening | None, Field(description="Why, the last time.")]
    relapses: Annotated[
        int,
        Field(
            description="How often a later version knew the samples again; at 3 a person decides."
        ),
    ]
    last_recheck: LastRecheck | None


class CertificateView(BaseModel):
    id: CertificateId
    state: Annotated[
        CertificateState, Field(description="`unsigned` for some seconds, then `issued`.")
    ]
    payload_sha256: str
    replaces: CertificateId | None
    log_index: Annotated[
        int | None, Field(description="Of its entry in the audit log, once it is issued.")
    ]
    created_at: datetime
    issued_at: datetime | None


class RequestSummary(BaseModel):
    id: RequestId
    external_id: str | None
    state: RequestState
    outcome: Outcome | None
    reason_code: ReasonCode | None
    earlier_request: RequestId | None
    regulation: Regulation
    legal_ground: LegalGround | None
    submitted_at: datetime
    received_at: datetime
    due_at: datetime
    overdue: Annotated[
        bool, Field(description="Not while the legal clock stands still within the period.")
    ]
    clock_paused_since: datetime | None
    waits_for: Annotated[WaitView | None, Field(description="Empty once it has ended.")]
    completed_at: datetime | None
    closes_at: Annotated[
        datetime | None,
        Field(description="Of a completed case: when its rollback window ends and it is closed."),
    ]
    closed_at: datetime | None
    updated_at: datetime


class RequestDetail(RequestSummary):
    approval: ApprovalView
    hold: HoldView | None
    deadline: DeadlineView
    decisions: Annotated[list[DecisionView], Field(description="Of the whole request.")]
    expected_completion_at: Annotated[
        datetime | None,
        Field(
            description="From the queue and the measured lengths of runs; no promise. Empty while "
            "nothing can be said: a person must act, no worker is there, or nothing was measured."
        ),
    ]
    reopened_at: Annotated[
        datetime | None, Field(description="When the case was last reopened, and why.")
    ]
    reopened_for: Reopening | None
    items: list[ItemView]
    certificate: CertificateView | None


class ModelImpact(BaseModel):
    model: ModelId
    name: str
    forget_count: Annotated[int, Field(description="Training samples that would be unlearned.")]
    held_out_count: int
    retain_count: Annotated[
        int, Field(description="Training samples that would be left; a run needs at least one.")
    ]
    unseen_count: Annotated[int, Field(description="Unseen samples that the tests could use.")]
    estimated_seconds: Annotated[
        float | None, Field(description="From this model's own finished runs.")
    ]
    provable_margin: Annotated[
        float | None,
        Field(description="Smallest deviation of the attack AUC from 0.5 that these sizes show."),
    ]
    enough_data: bool


class Impact(BaseModel):
    models: list[ModelImpact]
