"""The wire form of what a person decides about a whole request."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from app.canonical import Sha256
from app.erasure.decision_tables import DecisionAction, ExtensionReason, HoldReason
from app.erasure.states import Owner
from app.erasure.tables import ReasonCode
from app.http.text import NOT_BLANK, SEVERAL_LINES
from app.http.times import Time
from app.ids import ApiKeyId
from app.registry.policy import Approval

# GDPR Art. 17(3) and Art. 12(5)(6): what a refusal may rest on. The other codes are the service's.
REFUSALS = frozenset(
    {
        ReasonCode.FREEDOM_OF_EXPRESSION,
        ReasonCode.LEGAL_OBLIGATION,
        ReasonCode.PUBLIC_HEALTH,
        ReasonCode.ARCHIVING_OR_RESEARCH,
        ReasonCode.LEGAL_CLAIMS,
        ReasonCode.IDENTITY_NOT_VERIFIED,
        ReasonCode.MANIFESTLY_UNFOUNDED,
    }
)
# `refusing.check_reason` refuses the others, and names these.
LegalReason = Annotated[ReasonCode, WithJsonSchema({"type": "string", "enum": sorted(REFUSALS)})]


class _Input(BaseModel):
    # Nothing of an input may appear in an error message.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


NoteText = Annotated[
    str | None,
    StringConstraints(strip_whitespace=True),
    Field(
        min_length=1,
        max_length=1000,
        pattern=SEVERAL_LINES,
        json_schema_extra=NOT_BLANK,
        description="For your own people; name no person in it. It is kept until the case closes, "
        "and for three years at most. The audit log has its salted hash only.",
    ),
]


class RefuseRequest(_Input):
    reason_code: Annotated[
        LegalReason,
        Field(description="GDPR Art. 17(3), Art. 12(5), or that the person could not be verified."),
    ]
    note: NoteText = None


class HoldRequest(_Input):
    reason: Annotated[
        HoldReason,
        Field(
            description="identity_question stops the legal clock under the GDPR, from now until "
            "the request is resumed: send it when you have asked the person."
        ),
    ]
    until: Annotated[
        Time | None,
        Field(description="When you want to look again, within a year. It ends nothing by itself."),
    ] = None
    note: NoteText = None


class ExtendDeadline(_Input):
    reason: ExtensionReason
    notified_at: Annotated[Time, Field(description="When the person was told, with the reasons.")]
    evidence_sha256: Annotated[
        Sha256 | None, Field(description="Of the letter, which you keep yourself.")
    ] = None


class WaitView(BaseModel):
    """Who moves the request on, and by when it should have happened."""

    by: Owner
    since: datetime
    until: datetime
    late: bool


class HoldView(BaseModel):
    reason: HoldReason
    until: datetime | None


class PauseInterval(BaseModel):
    since: datetime
    until: Annotated[datetime | None, Field(description="Empty while the clock stands still.")]


class DeadlineView(BaseModel):
    """`first_due_at` and `extended_due_at` are moved by the pauses that are over."""

    first_due_at: datetime
    jurisdiction: Annotated[
        str | None,
        Field(
            description="Whose public holidays count; null if none do. ISO 3166, `DE` or `DE-BE`."
        ),
    ]
    extended_due_at: datetime | None
    extension_reason: str | None
    notified_at: datetime | None
    pauses: list[PauseInterval]


class DecisionView(BaseModel):
    action: DecisionAction
    reason: str | None
    until: datetime | None
    evidence_sha256: str | None
    note: Annotated[str | None, Field(description="Until the case is closed.")]
    decided_by: ApiKeyId
    decided_at: datetime


class ApprovalView(BaseModel):
    asked: Approval
    approved_at: datetime | None
