"""The states of requests, items and runs, and every move between them.

This table is what the code obeys (`transitions.py`), what the database checks (the enums), and what
the documentation prints. A state that waits names who must act and how long that may take.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class RequestState(StrEnum):
    RECEIVED = "received"
    AWAITING_APPROVAL = "awaiting_approval"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    ON_HOLD = "on_hold"
    NEEDS_DECISION = "needs_decision"
    FAILED = "failed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class ItemState(StrEnum):
    SCHEDULED = "scheduled"
    RUNNING = "running"
    NEEDS_DECISION = "needs_decision"
    FAILED = "failed"
    PUBLISHED = "published"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    VERIFYING = "verifying"
    PUBLISHING = "publishing"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class RunStep(StrEnum):
    """Why a run is made as it is. In the order of the ladder; a decision stands beside it."""

    POLICY = "policy"
    OTHER_SETTINGS = "other_settings"
    OTHER_METHOD = "other_method"
    RETRAIN = "retrain"
    DECISION = "decision"


class Reopening(StrEnum):
    """Why an item that was published waits again."""

    ROLLBACK = "rollback"
    TRAINED_ELSEWHERE = "trained_elsewhere"
    RELAPSE = "relapse"
    # Another person's case relapsed, and some samples show both of them.
    SHARED_RELAPSE = "shared_relapse"


class Outcome(StrEnum):
    """How a completed request ended."""

    UNLEARNED = "unlearned"
    # Published, with too few or too unlike samples for the tests to say anything.
    UNLEARNED_NOT_TESTABLE = "unlearned_not_testable"
    # The tests said no, and a person published the candidate all the same.
    UNLEARNED_ACCEPTED = "unlearned_accepted"
    NO_MATCH = "no_match"


class Owner(StrEnum):
    """Who moves a waiting thing on."""

    SERVICE = "service"
    WORKER = "worker"
    DECIDER = "decider"  # a person with `requests:decide`
    CONTROLLER = "controller"  # the organisation that sent the request


@dataclass(frozen=True)
class Place:
    """One state: where it may lead, and, if it waits, who acts within what time."""

    next: frozenset[StrEnum] = field(default_factory=frozenset)
    owner: Owner | None = None
    longest: timedelta | None = None

    @property
    def ends(self) -> bool:
        return self.owner is None


def _waits(owner: Owner, longest: timedelta, *following: StrEnum) -> Place:
    return Place(frozenset(following), owner, longest)


_R, _I, _N = RequestState, ItemState, RunState
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)


def _working(state: RequestState) -> set[RequestState]:
    """Where a request's items may take it, in any order; a model that is added later may ask for
    an approval at any time."""
    return {
        _R.AWAITING_APPROVAL,
        _R.SCHEDULED,
        _R.RUNNING,
        _R.NEEDS_DECISION,
        _R.FAILED,
        _R.COMPLETED,
        _R.REFUSED,
    } - {state}


REQUEST: Mapping[RequestState, Place] = {
    _R.RECEIVED: _waits(
        Owner.SERVICE,
        _MINUTE,
        *_working(_R.RECEIVED),
        _R.CANCELLED,
        _R.ON_HOLD,
    ),
    _R.AWAITING_APPROVAL: _waits(
        Owner.DECIDER, 7 * _DAY, *_working(_R.AWAITING_APPROVAL), _R.CANCELLED, _R.ON_HOLD
    ),
    _R.SCHEDULED: _waits(Owner.WORKER, 7 * _DAY, *_working(_R.SCHEDULED), _R.CANCELLED, _R.ON_HOLD),
    _R.RUNNING: _waits(Owner.WORKER, _DAY, *_working(_R.RUNNING), _R.CANCELLED, _R.ON_HOLD),
    _R.ON_HOLD: _waits(Owner.DECIDER, 30 * _DAY, *_working(_R.ON_HOLD), _R.CANCELLED),
    _R.NEEDS_DECISION: _waits(
        Owner.DECIDER, 7 * _DAY, *_working(_R.NEEDS_DECISION), _R.CANCELLED, _R.ON_HOLD
    ),
    _R.FAILED: _waits(Owner.DECIDER, 7 * _DAY, *_working(_R.FAILED), _R.CANCELLED, _R.ON_HOLD),
    # Reopened by a rollback, a relapse, or a version trained elsewhere on the same data; by a
    # relapse that came once too often, for a person to decide.
    _R.COMPLETED: Place(
        frozenset({_R.AWAITING_APPROVAL, _R.SCHEDULED, _R.RUNNING, _R.NEEDS_DECISION})
    ),
    _R.CANCELLED: Place(),
    _R.REFUSED: Place(),
}

ITEM: Mapping[ItemState, Place] = {
    # To published without a run of its own: a run for other requests took the same samples.
    _I.SCHEDULED: _waits(
        Owner.WORKER, 7 * _DAY, _I.RUNNING, _I.PUBLISHED, _I.CANCELLED, _I.REFUSED
    ),
    _I.RUNNING: _waits(
        Owner.WORKER,
        _DAY,
        _I.SCHEDULED,
        _I.NEEDS_DECISION,
        _I.FAILED,
        _I.PUBLISHED,
        _I.CANCELLED,
        _I.REFUSED,
    ),
    _I.NEEDS_DECISION: _waits(
        Owner.DECIDER, 7 * _DAY, _I.SCHEDULED, _I.RUNNING, _I.PUBLISHED, _I.CANCELLED, _I.REFUSED
    ),
    _I.FAILED: _waits(Owner.DECIDER, 7 * _DAY, _I.SCHEDULED, _I.RUNNING, _I.CANCELLED, _I.REFUSED),
    _I.PUBLISHED: Place(frozenset({_I.SCHEDULED, _I.NEEDS_DECISION})),
    _I.CANCELLED: Place(),
    _I.REFUSED: Place(),
}

RUN: Mapping[RunState, Place] = {
    _N.QUEUED: _waits(Owner.WORKER, _DAY, _N.RUNNING, _N.SUPERSEDED, _N.FAILED),
    _N.RUNNING: _waits(Owner.WORKER, _DAY, _N.QUEUED, _N.VERIFYING, _N.SUPERSEDED, _N.FAILED),
    _N.VERIFYING: _waits(
        Owner.WORKER, 60 * _MINUTE, _N.QUEUED, _N.PUBLISHING, _N.REJECTED, _N.SUPERSEDED, _N.FAILED
    ),
    _N.PUBLISHING: _waits(
        Owner.WORKER, 10 * _MINUTE, _N.QUEUED, _N.SUCCEEDED, _N.SUPERSEDED, _N.FAILED
    ),
    _N.SUCCEEDED: Place(),
    # A person who accepts a rejected candidate publishes it.
    _N.REJECTED: Place(frozenset({_N.SUCCEEDED})),
    _N.SUPERSEDED: Place(),
    _N.FAILED: Place(),
}

# A model has at most one run in any of these.
LIVE_RUN = (_N.QUEUED, _N.RUNNING, _N.VERIFYING, _N.PUBLISHING)
# A run in one of these is held by a worker's lease.
LEASED_RUN = (_N.RUNNING, _N.VERIFYING, _N.PUBLISHING)
# No run is formed of the items of a request in one of these.
KEPT_BACK = (_R.AWAITING_APPROVAL, _R.ON_HOLD)
# The controller took it back or refused it: no work is done for such a request again, whatever was
# published for it before.
WITHDRAWN = (_R.CANCELLED, _R.REFUSED)
# The data subject of a request in one of these still waits for something.
OPEN_REQUEST = tuple(state for state, place in REQUEST.items() if not place.ends)


def request_state_of(
    items: list[ItemState], *, held: bool = False, unapproved: bool = False
) -> RequestState:
    """What a request with these items says of itself: the state that most needs attention.

    Cancelled items count only when nothing else is left. An item that was refused keeps the whole
    request from ever reading as completed. A hold, and an approval that is asked for and not given,
    come before whatever the items say, as long as anything is left to be done.
    """
    if not items:
        raise ValueError("a request without items has no state to derive")
    worked = _of_items(set(items))
    if REQUEST[worked].ends:
        return worked
    if held:
        return _R.ON_HOLD
    return _R.AWAITING_APPROVAL if unapproved else worked


def _of_items(present: set[ItemState]) -> RequestState:
    for item, request in (
        (_I.NEEDS_DECISION, _R.NEEDS_DECISION),
        (_I.FAILED, _R.FAILED),
        (_I.RUNNING, _R.RUNNING),
        (_I.SCHEDULED, _R.SCHEDULED),
        (_I.REFUSED, _R.REFUSED),
        (_I.PUBLISHED, _R.COMPLETED),
    ):
        if item in present:
            return request
    return _R.CANCELLED
