"""From the bytes of a request to what it asks for; whatever is wrong is a 400 that repeats none of
it."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ValidationError

from app.http.problems import (
    FieldError,
    InvalidInput,
    MalformedJson,
    Problem,
    UnsupportedMediaType,
    field_errors,
)
from app.opendsr.schemas import DataSubjectRequest, OwnExtension
from app.opendsr.versions import V1, Version

Form = TypeVar("Form", bound=BaseModel)

JSON_TYPE = "application/json"
# Known to the protocol, and not carried out here.
OTHER_TYPES = ("access", "portability")


class UnsupportedRequestType(Problem):
    status: ClassVar[int] = 400
    code = "unsupported-request-type"
    title = "Only erasure is carried out here"


def check_media_type(content_type: str | None, content_encoding: str | None) -> None:
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type != JSON_TYPE or content_encoding not in (None, "", "identity"):
        raise UnsupportedMediaType(f"Send the body as {JSON_TYPE}, and not compressed.")


def read(body: bytes, version: Version, domain: str) -> tuple[DataSubjectRequest, OwnExtension]:
    """The request, and what stands under our own domain in its extensions."""
    document = _parsed(body)
    _check_type(document)
    request = _valid(DataSubjectRequest, document, ())
    if request.regulation is None and version is not V1:
        raise _missing("regulation", "is required")
    extensions = {key.lower(): value for key, value in (request.extensions or {}).items()}
    own = extensions.get(domain)
    extension = _valid(OwnExtension, {} if own is None else own, ("extensions", domain))
    if not request.subject_identities and not extension.sample_ids:
        raise _missing("subject_identities", "must name the person")
    return request, extension


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise MalformedJson("The body could not be parsed as JSON.") from None
    if not isinstance(document, dict):
        raise MalformedJson("The body must be a JSON object.")
    return document


def _no_constant(name: str) -> Any:
    raise ValueError


def _check_type(document: dict[str, Any]) -> None:
    if document.get("subject_request_type") in OTHER_TYPES:
        raise UnsupportedRequestType(
            "Only requests of the type erasure are carried out here: the service holds no person's "
            "data that it could hand out, only keyed references.",
            errors=[FieldError(field="subject_request_type", message="must be erasure")],
        )


def _valid(model: type[Form], value: Any, where: Sequence[str]) -> Form:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [
            {**fault, "loc": (*where, *fault["loc"])}
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidInput(
            "One or more fields are missing or not valid.", errors=_said(faults)
        ) from None


def _said(faults: Sequence[Any]) -> list[FieldError]:
    """Our validators' own words too, which name no value."""
    shown = field_errors(faults)
    for fault, error in zip(faults, shown, strict=True):
        if fault["type"] == "value_error":
            error.message = str(fault["ctx"]["error"])
    return shown


def _missing(field: str, message: str) -> InvalidInput:
    return InvalidInput(
        "One or more fields are missing or not valid.",
        errors=[FieldError(field=field, message=message)],
    )
