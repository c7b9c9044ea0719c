"""What can go wrong between this client and the service."""

from dataclasses import dataclass
from typing import Any

import httpx2


class LotusError(Exception):
    """Base of everything that this package raises on purpose."""


class LotusUnreachable(LotusError):
    """No answer came: the address is wrong, the service is down, or the network is."""


class UnexpectedAnswer(LotusError):
    """An answer that is not of this service's form, such as a proxy's error page."""


class DigestMismatch(LotusError):
    """Bytes that arrived are not the bytes that their SHA-256 names."""


class BrokenOff(LotusError):
    """A long answer, or a file of requests, did not come to its end. `problem` is what the service
    says about it, if it could."""

    def __init__(self, why: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(f"broken off: {why}")
        self.problem = problem


class TookTooLong(LotusError):
    """What was waited for did not happen in the time allowed; it may still happen."""


@dataclass(frozen=True)
class FieldFault:
    """`field` is a path such as `subjects.0.type`, or a row of an upload."""

    field: str
    message: str


class LotusProblem(LotusError):
    """The service refused, and says why (RFC 9457).

    `type` is stable and may be compared; `title` and `detail` are for people.
    """

    def __init__(
        self,
        status: int,
        type: str,
        title: str,
        detail: str,
        errors: tuple[FieldFault, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status = status
        self.type = type
        self.title = title
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after

    @property
    def code(self) -> str:
        """The last part of `type`, as in `invalid-input`."""
        return self.type.rpartition(":")[2]


class RegistrationInvalid(LotusProblem):
    """A dataset, model or version was read by a worker and cannot be used."""


def problem_of(response: httpx2.Response) -> LotusError:
    """The exception for an answer of 400 or above."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        return UnexpectedAnswer(f"HTTP {response.status_code} without a problem document")
    return LotusProblem(
        response.status_code,
        body["type"],
        str(body.get("title", "")),
        str(body.get("detail", "")),
        field_faults(body.get("errors")),
        retry_after(response),
    )


def field_faults(errors: object) -> tuple[FieldFault, ...]:
    if not isinstance(errors, list):
        return ()
    return tuple(
        FieldFault(str(error.get("field", "")), str(error.get("message", "")))
        for error in errors
        if isinstance(error, dict)
    )


def retry_after(response: httpx2.Response) -> float | None:
    """Seconds, where the service says how long to wait."""
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
