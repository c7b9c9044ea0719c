"""Refusals in the protocol's own form, wherever in the service they come from.

Every refusal of this service is a problem document, whose words are ours and never the caller's;
here it is only put into other fields.
"""

import json
from collections.abc import Mapping
from typing import Any

from app.http.problems import TYPE_PREFIX, FieldError, Problem
from app.opendsr.schemas import Error, ErrorAnswer, ErrorDetail

_DOMAINS = {
    401: "Authentication",
    403: "Authorization",
    404: "Request",
    405: "Request",
    409: "Request",
    429: "Limit",
}
# What the service calls a field, and what the protocol does. The first that fits.
_FIELDS = (
    ("subjects.", "subject_identities."),
    ("callback_urls.", "status_callback_urls."),
    ("submitted_at", "submitted_time"),
    ("external_id", "subject_request_id"),
    ("wanted_by", "extensions.{domain}.deadline"),
    ("sample_ids.", "extensions.{domain}.sample_ids."),
    ("models.", "extensions.{domain}.models."),
)
_PARTS = {".type": ".identity_type", ".value": ".identity_value"}


class NotYourRequest(Problem):
    status = 403
    code = "not-your-request"
    title = "The request is another controller's"


class UnknownSubjectRequest(Problem):
    status = 404
    code = "unknown-request"
    title = "No such request"


class NotPending(Problem):
    status = 409
    code = "not-pending"
    title = "The request is not pending any more"


class RequestIdTaken(Problem):
    status = 409
    code = "request-id-taken"
    title = "The request id belongs to another request"


class OpenDsrNotSetUp(Problem):
    status = 503
    code = "opendsr-not-set-up"
    title = "OpenDSR is not set up on this service"


def translated(status: int, document: Mapping[str, Any], domain: str) -> tuple[int, bytes]:
    """Status and body. A 422 becomes 400: the protocol knows no other for what a body says."""
    code = 400 if status == 422 else status
    kind = _DOMAINS.get(code, "Service" if code >= 500 else "Validation")
    reason = str(document.get("type", "")).removeprefix(TYPE_PREFIX) or "refused"
    message = str(document.get("detail") or document.get("title") or "The request was refused.")
    faults = [FieldError.model_validate(fault) for fault in document.get("errors") or []]
    details = [
        ErrorDetail(
            domain=kind, reason=reason, message=f"{_field(fault.field, domain)} {fault.message}"
        )
        for fault in faults
    ] or [ErrorDetail(domain=kind, reason=reason, message=message)]
    answer = ErrorAnswer(error=Error(code=code, message=message, errors=details))
    return code, json.dumps(answer.model_dump(), separators=(",", ":"), sort_keys=True).encode()


def _field(name: str, domain: str) -> str:
    for ours, theirs in _FIELDS:
        if name == ours or (ours.endswith(".") and name.startswith(ours)):
            name = theirs.replace("{domain}", domain) + name[len(ours) :]
            break
    for ours, theirs in _PARTS.items():
        if name.startswith("subject_identities.") and name.endswith(ours):
            name = name.removesuffix(ours) + theirs
    return name
