"""Refusals that the description does not foretell and that are right all the same.

A schema says what a field may look like, not what else must hold: what the service knows, other
fields, the time. Where that is so the answer is a problem of its own type, which no schema error
has; those are let pass. The few rules that are refused as `invalid-input` stand here, each with why
no schema says it. Nothing here concerns a 5xx, a status or a body that is not described.
"""

from __future__ import annotations

import json
import re
from typing import Any

from schemathesis import Case, Response
from schemathesis.core.failures import Failure
from schemathesis.failure_codes import AcceptedNegativeData, RejectedPositiveData

# What is said, as a field and its message or as the whole, in any operation.
SAID = (
    # A pattern for the year would keep generators from making a time at all.
    "must lie between the years 1900 and 9000",
    # 5.0 is an integer for a schema. A field that decides for how long something holds takes none.
    "must be an integer",
    # Depend on the present.
    "must lie in the future, and within a year",
    "must be within the next ten years",
)
# Depends on when the request came; and the person may be named in an extension instead.
OPENDSR = ("^submitted_time lies ", "^subject_identities must name the person")
# Operation, then the field or the beginning of the detail: what no schema says.
OF_ONE = {
    # One of two parameters, but not both.
    "get_inclusion_proof": ("Name the entry by either",),
    # The body is text for a schema.
    "submit_in_bulk": ("The file ",),
    # Which settings there are, and their limits, depends on the method; which fields may stand
    # together, on the action.
    "decide_erasure": (r"body\.settings", r"^(body\.)?(action|method|reason_code|settings) "),
    "register_model": (
        r"body\.policy\.settings",
        r"body\.policy\.ladder is not valid",
        # As many means as deviations.
        r"body\.normalization is not valid",
        # Free JSON, but not without end.
        r"body\.config is not valid",
        # A schedule that has a momentum of its own takes none.
        r"body\.training_recipe is not valid",
    ),
    "change_policy": (r"body\.settings", r"body\.ladder is not valid"),
    # Columns must differ, and not be those that mean something else.
    "register_dataset": (r"body\.subject_columns is not valid",),
    # Not in the future, and not more than ten years back.
    "submit_erasure": ("^submitted_at ",),
    # Depends on when the request came.
    "extend_deadline": ("^notified_at lies ",),
    "opendsr_submit": OPENDSR,
    "opendsr_submit_v1": OPENDSR,
    # A host that is in the Internet, at a port that callbacks may have.
    "create_webhook": ("^url ",),
}


def is_expected(failure: Failure, case: Case, response: Response) -> bool:
    if isinstance(failure, AcceptedNegativeData) and response.status_code == 413:
        # No array of the description is as long as the largest body, so this refuses one that is
        # too long as well, before it is looked at.
        return True
    if not isinstance(failure, RejectedPositiveData) or response.status_code not in (400, 422):
        return False
    problem = _problem(response)
    if problem["type"] != "invalid-input":
        return problem["type"] != "malformed-json"
    operation = case.operation.definition.raw.get("operationId", "")
    known = (*SAID, *OF_ONE.get(operation, ()))
    return bool(problem["said"]) and all(
        any(re.search(rule, one) for rule in known) for one in problem["said"]
    )


def _problem(response: Response) -> dict[str, Any]:
    """In one form, whichever the protocol: its type, and what is said of each field."""
    document = json.loads(response.content)
    if "error" in document:
        errors = document["error"]["errors"]
        return {
            "type": errors[0]["reason"],
            "said": [one["message"] for one in errors],
        }
    errors = document.get("errors") or []
    said = [f"{one['field']} {one['message']}" for one in errors]
    return {"type": document["type"].rpartition(":")[2], "said": said or [document["detail"]]}
