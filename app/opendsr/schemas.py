"""What is read of a request. Leniently: unknown fields, a missing version and both forms of
identities are taken; what is wrong is said by its field, and never by its value."""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    WithJsonSchema,
)

from app.erasure.named_samples import MOST_SAMPLES
from app.erasure.tables import LegalGround, Regulation
from app.http.times import Time
from app.identities import LONGEST_VALUE, TYPE_PATTERN, IdentityFormat
from app.ids import ModelId
from app.webhooks.addresses import LONGEST_URL

MOST_IDENTITIES = 20
MOST_CALLBACKS = 10
LONGEST_SAMPLE_ID = 1_000

_UUID4 = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"


class RequestType(StrEnum):
    ERASURE = "erasure"


def is_subject_request_id(text: str) -> bool:
    return re.fullmatch(_UUID4, text) is not None


def _identities(value: Any) -> Any:
    """The object of mParticle's third version as the array of OpenDSR."""
    if not isinstance(value, dict):
        return value
    return [_identity(kind, each) for kind, each in value.items()]


def _identity(kind: str, given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    found = {"identity_type": kind}
    for name, other in (("value", "identity_value"), ("encoding", "identity_format")):
        if name in given:
            found[other] = given[name]
    return found


def _uuid(value: Any) -> UUID:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if not is_subject_request_id(value):
        raise ValueError("must be a UUID of version 4 in lower case")
    return UUID(value)


def _unicode(value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("is not valid Unicode") from None
    return value


AnyTime = Annotated[Time, Field(strict=False)]
SubjectRequestId = Annotated[
    UUID,
    BeforeValidator(_uuid),
    WithJsonSchema({"type": "string", "format": "uuid", "pattern": _UUID4}),
]
SampleId = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST_SAMPLE_ID),
    AfterValidator(_unicode),
]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, strict=True)


class SubjectIdentity(_Read):
    identity_type: Annotated[str, Field(pattern=TYPE_PATTERN)]
    identity_value: Annotated[str, Field(min_length=1, max_length=LONGEST_VALUE, repr=False)]
    identity_format: Annotated[
        IdentityFormat,
        Field(strict=False, description="md5 and sha1 are refused: they can be guessed."),
    ] = IdentityFormat.RAW


class OwnExtension(_Read):
    """What may stand under this service's own domain in `extensions`. No other fields: what is
    asked of this service alone must not be overlooked."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)

    models: Annotated[
        list[ModelId] | None,
        Field(
            min_length=1,
            max_length=100,
            description="Only these models, `mdl_...`. Default: all of the controller's.",
        ),
    ] = None
    sample_ids: Annotated[
        list[SampleId] | None,
        Field(
            min_length=1,
            max_length=MOST_SAMPLES,
            description="Training samples by the ids that the datasets were registered with, "
            "beside `subject_identities` or instead of them.",
        ),
    ] = None
    legal_ground: Annotated[LegalGround | None, Field(strict=False)] = None
    deadline: Annotated[
        AnyTime | None,
        Field(description="When the controller wants it done, before the law's own date."),
    ] = None
    dry_run: Annotated[
        StrictBool,
        Field(description="Say what would be done, with 200, and store nothing."),
    ] = False


class DataSubjectRequest(_Read):
    """`regulation` is required by version 2 and not known to version 1, where it means GDPR."""

    subject_request_id: SubjectRequestId
    subject_request_type: Annotated[RequestType, Field(strict=False)]
    submitted_time: AnyTime
    regulation: Annotated[Regulation | None, Field(strict=False)] = None
    subject_identities: Annotated[
        list[SubjectIdentity], BeforeValidator(_identities), Field(max_length=MOST_IDENTITIES)
    ] = []
    status_callback_urls: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]],
        BeforeValidator(lambda value: [] if value is None else value),
        Field(max_length=MOST_CALLBACKS),
    ] = []
    api_version: Annotated[str | None, Field(max_length=16)] = None
    extensions: Annotated[
        dict[str, Any] | None,
        Field(description="By the domain of a processor. Only this service's own key is read."),
    ] = None


RequestStatus = Literal["pending", "in_progress", "completed", "cancelled"]


class SupportedIdentity(BaseModel):
    identity_type: str
    identity_format: IdentityFormat


class Discovery(BaseModel):
    api_version: str
    supported_identities: list[SupportedIdentity]
    supported_subject_request_types: list[RequestType]
    processor_certificate: Annotated[
        str, Field(description="URL of the certificate in PEM, the leaf first.")
    ]


class Receipt(BaseModel):
    controller_id: str
    subject_request_id: str
    received_time: str
    expected_completion_time: str
    encoded_request: Annotated[str, Field(description="Base64 of the body as received.")]


class Rehearsal(Receipt):
    """To a `dry_run`: nothing was stored."""

    extensions: dict[str, Any]


class CancellationReceipt(BaseModel):
    controller_id: str
    subject_request_id: str
    received_time: Annotated[str, Field(description="Of the cancellation.")]
    api_version: str


class Status(BaseModel):
    controller_id: str
    subject_request_id: str
    request_status: RequestStatus
    expected_completion_time: str
    api_version: str
    results_url: str | None
    results_count: int | None
    extensions: Annotated[
        dict[str, Any],
        Field(
            description="Under this service's domain: `state`, `outcome`, `reason_code`, `models`, "
            "`verification` and `certificate_sha256`."
        ),
    ]


class ErrorDetail(BaseModel):
    domain: str
    reason: str
    message: str


class Error(BaseModel):
    code: int
    message: str
    errors: list[ErrorDetail]


class ErrorAnswer(BaseModel):
    error: Error
