"""Errors as `application/problem+json` (RFC 9457). No answer ever repeats what the caller sent."""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException

from app.http.methods import Methods
from app.http.times import FIRST_YEAR, LAST_YEAR

log = logging.getLogger("lotus.http")

TYPE_PREFIX = "urn:lotus-unlearning:problem:"
MEDIA_TYPE = "application/problem+json"
# What the database says of itself, and the pool that has no connection left.
DATABASE_AWAY = (OperationalError, NoConnection)


class FieldError(BaseModel):
    """`field` is the path of a field or a row, as in `subjects.0.type` or `row 17`."""

    field: str
    message: str


class ProblemDocument(BaseModel):
    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


class Problem(Exception):
    """A refusal that the caller can act on. Subclasses stand beside the code that raises them.

    `code` is the stable last part of the problem's type. `detail` must be written by us: never
    format a caller's value into it.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        return ProblemDocument(
            type=TYPE_PREFIX + self.code,
            title=self.title,
            status=self.status,
            detail=self.detail,
            errors=self.errors or None,
        ).model_dump(exclude_none=True)


class NotFound(Problem):
    status = 404
    code = "not-found"
    title = "Not found"


class Conflict(Problem):
    status = 409
    code = "conflict"
    title = "Conflict with the present state"


class UnsupportedMediaType(Problem):
    status = 415
    code = "unsupported-media-type"
    title = "The body is of a type that cannot be read here"


class InvalidInput(Problem):
    status = 422
    code = "invalid-input"
    title = "The request does not fit the schema"


class MalformedJson(Problem):
    status = 400
    code = "malformed-json"
    title = "The body is not valid JSON"


class BodyTooSlow(Problem):
    status = 408
    code = "body-too-slow"
    title = "The body came too slowly"


class BodyTooLarge(Problem):
    status = 413
    code = "body-too-large"
    title = "The body is too large"


class Internal(Problem):
    status = 500
    code = "internal"
    title = "The service failed"


class Unavailable(Problem):
    status = 503
    code = "unavailable"
    title = "The service cannot answer at present"


# What a validation message may say: our words and the schema's own limits, never the input.
_LIMITS = ("min_length", "max_length", "ge", "gt", "le", "lt", "expected", "actual_length", "form")
_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "unknown field",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_pattern_mismatch": "does not have the required form",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "timezone_aware": "must be a time with a zone, as in 2026-01-31T12:00:00Z",
    "rfc3339": "must be a time with a zone, as in 2026-01-31T12:00:00Z",
    "year_range": f"must lie between the years {FIRST_YEAR} and {LAST_YEAR}",
    "id_form": "must be an id of the form {form}",
    "json_invalid": "is not valid JSON",
}


def field_errors(errors: Sequence[Any]) -> list[FieldError]:
    """Pydantic's errors in our words; names that the caller made up are left out of the path."""
    shown = []
    for error in errors:
        kind = str(error["type"])
        where = list(error["loc"])
        if kind == "extra_forbidden":
            where = where[:-1]
        context = {k: v for k, v in (error.get("ctx") or {}).items() if k in _LIMITS}
        template = _MESSAGES.get(kind, "is not valid")
        try:
            message = template.format(**context)
        except KeyError:
            message = "is not valid"
        shown.append(FieldError(field=".".join(str(part) for part in where), message=message))
    return shown


def database_away() -> Unavailable:
    return Unavailable(
        "The database does not answer at present. Repeat the call; with an Idempotency-Key or an "
        "external id it cannot take effect twice.",
        headers={"Retry-After": "5"},
    )


def answer(problem: Problem) -> JSONResponse:
    return JSONResponse(
        problem.document(),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **problem.headers},
    )


def _is_no_json(request: Request, errors: Sequence[Any]) -> bool:
    """There is a body, and FastAPI did not read it because of its type."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return re.fullmatch(r"application/(.+\+)?json", media_type) is None and any(
        error["loc"] == ("body",) and error["type"] != "missing" for error in errors
    )


# For the OpenAPI description of every call: any refusal has this form.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "5XX": {
        "description": "The service cannot answer; `Retry-After` says when to try again",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    },
    "4XX": {
        "description": "A problem (RFC 9457): `type` is stable, `errors` name fields or rows",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    },
}

_TITLES = {401: "Not authenticated", 404: "Not found", 405: "Method not allowed"}


def install(app: FastAPI, methods: Methods) -> None:
    @app.exception_handler(Problem)
    def known(request: Request, problem: Problem) -> JSONResponse:
        return answer(problem)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        if any(part["type"] == "json_invalid" for part in error.errors()):
            return answer(MalformedJson("The body could not be parsed as JSON."))
        if _is_no_json(request, error.errors()):
            return answer(UnsupportedMediaType("Send the body as application/json."))
        return answer(
            InvalidInput(
                "One or more fields are missing or not valid.", errors=field_errors(error.errors())
            )
        )

    def database(request: Request, error: Exception) -> JSONResponse:
        log.error("database error", exc_info=error)
        return answer(database_away())

    for kind in DATABASE_AWAY:
        app.exception_handler(kind)(database)

    @app.exception_handler(HTTPException)
    def framework(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == MalformedJson.status:
            # What FastAPI raises for a body that it cannot decode or parse.
            return answer(MalformedJson("The body could not be parsed as JSON."))
        title = _TITLES.get(error.status_code, "The request was refused")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(methods.of(request.scope["path"]))
        document = ProblemDocument(
            type=TYPE_PREFIX + title.lower().replace(" ", "-"),
            title=title,
            status=error.status_code,
            detail=title + ".",
        )
        return JSONResponse(
            document.model_dump(exclude_none=True),
            status_code=error.status_code,
            media_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-store", **headers},
        )
