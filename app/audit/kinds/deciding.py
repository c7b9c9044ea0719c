"""Bodies of what persons decide about a request, and of what becomes of its deadline."""

from app.audit.kinds.base import Actor, Facts, Kind
from app.canonical import Code, Count, Instant, Sha256
from app.ids import ControllerId, RequestId


class RequestDecided(Facts):
    """A person decided about a whole request; what follows has entries of its own.

    `approval`: what the models ask for. `until`: when somebody wants to look at a hold again, or
    the extended deadline. `note_sha256`: of the salt and the text that the person wrote, which lie
    outside the log and go with the case.
    """

    kind = Kind.REQUEST_DECIDED
    controller: ControllerId
    request: RequestId
    action: Code
    reason: Code | None
    approval: Code
    until: Instant | None
    note_sha256: Sha256 | None
    actor: Actor


class DeadlinePaused(Facts):
    """The legal clock stands still from now on."""

    kind = Kind.DEADLINE_PAUSED
    controller: ControllerId
    request: RequestId
    reason: Code
    due_at: Instant
    extended_due_at: Instant | None
    actor: Actor


class DeadlineResumed(Facts):
    """The legal clock runs again, and what it stood still for moves the dates."""

    kind = Kind.DEADLINE_RESUMED
    controller: ControllerId
    request: RequestId
    paused_since: Instant
    due_at: Instant
    extended_due_at: Instant | None
    actor: Actor


class DeadlineNeared(Facts):
    """The controller was told that so many days are left at most; 0: that the date has passed."""

    kind = Kind.DEADLINE_NEARED
    controller: ControllerId
    request: RequestId
    due_at: Instant
    days_left: Count


class DeadlineExtended(Facts):
    """`notified_at`: when the person was told; `evidence_sha256`: of the letter that says so."""

    kind = Kind.DEADLINE_EXTENDED
    controller: ControllerId
    request: RequestId
    reason: Code
    notified_at: Instant
    evidence_sha256: Sha256 | None
    due_at: Instant
    extended_due_at: Instant
    actor: Actor
