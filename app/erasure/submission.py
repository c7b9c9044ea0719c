"""What somebody asks for when he asks for an erasure, and what can be wrong with it by itself."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from app.erasure.subjects import Identity
from app.erasure.tables import ErasureRequest, LegalGround, Regulation
from app.http.problems import FieldError, InvalidInput, Problem

# Clocks differ a little, and a caller may send a date that has begun elsewhere in the world.
CLOCK_TOLERANCE = timedelta(hours=24)
OLDEST_SUBMISSION = timedelta(days=3650)


class ExternalIdNamesPerson(Problem):
    status = 422
    code = "external-id-names-person"
    title = "The external id names a person"


@dataclass(frozen=True)
class Submission:
    controller: UUID
    submitted_by: UUID
    actor: str
    external_id: str | None
    identities: tuple[Identity, ...]
    regulation: Regulation
    legal_ground: LegalGround | None
    submitted_at: datetime | None
    models: tuple[UUID, ...] | None
    callback_urls: tuple[str, ...]
    body_digest: bytes
    # The same by another rule, that of requests which came before the present one.
    raw_digest: bytes | None = None
    # Samples by the owner's ids, beside the identities or instead of any.
    sample_ids: tuple[str, ...] = field(default=(), repr=False)
    wanted_by: datetime | None = None
    # What a protocol has to store with a new request before anybody is told of it.
    accompany: Callable[[Session, ErasureRequest], None] | None = None

    def is_repeat_of(self, request: ErasureRequest) -> bool:
        own = (self.body_digest, self.raw_digest or self.body_digest)
        return any(hmac.compare_digest(request.body_digest, digest) for digest in own)


def check_external_id(submission: Submission) -> None:
    """It stays with the case for ever, in plain text: it must be a number of the case and not an
    address or an identity of the person."""
    given = submission.external_id
    if given is None:
        return
    own = {identity.value.strip().casefold() for identity in submission.identities}
    if "@" in given or given.casefold() in own:
        raise ExternalIdNamesPerson(
            "The external id is kept with the case after everything else of the person is gone. "
            "Send a number of the case, no address and none of the person's identities.",
            errors=[FieldError(field="external_id", message="must not name a person")],
        )


def check_wanted(wanted_by: datetime | None, *, now: datetime, due_at: datetime) -> None:
    if wanted_by is None or now < wanted_by <= due_at:
        return
    early = wanted_by <= now
    raise InvalidInput(
        "The date by which it is wanted cannot be used.",
        errors=[
            FieldError(
                field="wanted_by", message="has passed" if early else "lies after the legal date"
            )
        ],
    )


def submission_time(submission: Submission, now: datetime) -> datetime:
    when = submission.submitted_at or now
    if when > now + CLOCK_TOLERANCE:
        wrong = "lies in the future"
    elif when < now - OLDEST_SUBMISSION:
        wrong = "lies more than ten years back"
    else:
        return min(when, now)
    raise InvalidInput(
        "The time of submission cannot be used.",
        errors=[FieldError(field="submitted_at", message=wrong)],
    )
