"""Bodies of what happens to requests, items, runs and the versions that they give."""

from typing import Annotated

from pydantic import Field

from app.audit.kinds.base import Actor, Facts, Kind, Place, WorkerName
from app.canonical import Code, Count, Instant, Sha256
from app.ids import ControllerId, ItemId, ModelId, RecheckId, RequestId, RunId, VersionId

Number = Annotated[float, Field(allow_inf_nan=False)]


class RequestReceived(Facts):
    """`body_digest` is keyed: it binds the request's body without telling what it said."""

    kind = Kind.REQUEST_RECEIVED
    controller: ControllerId
    request: RequestId
    regulation: Code
    legal_ground: Code | None
    submitted_at: Instant
    due_at: Instant
    body_digest: Sha256
    identity_count: Count
    item_count: Count
    actor: Actor
    jurisdiction: Place | None = None


class RequestMoved(Facts):
    kind = Kind.REQUEST_MOVED
    controller: ControllerId
    request: RequestId
    from_state: Code
    to_state: Code
    event: Code
    actor: Actor
    outcome: Code | None = None
    reason_code: Code | None = None


class ItemMoved(Facts):
    """`from_state` is empty when the item comes into being."""

    kind = Kind.ITEM_MOVED
    controller: ControllerId
    request: RequestId
    item: ItemId
    model: ModelId
    run: RunId | None = None
    from_state: Code | None
    to_state: Code
    event: Code
    actor: Actor
    error_class: Code | None = None
    reason_code: Code | None = None


class RunFormed(Facts):
    kind = Kind.RUN_FORMED
    controller: ControllerId
    run: RunId
    model: ModelId
    base_version: VersionId
    base_sha256: Sha256
    rung: Count
    step: Code | None = None
    follows: RunId | None = None
    method: Code
    mode: Code
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    settings_sha256: Sha256
    items: Annotated[tuple[ItemId, ...], Field(min_length=1)]
    forget_count: Count


class RunMoved(Facts):
    kind = Kind.RUN_MOVED
    controller: ControllerId
    run: RunId
    model: ModelId
    attempt: Count
    from_state: Code
    to_state: Code
    event: Code
    actor: Actor
    worker: WorkerName | None = None
    verdict: Code | None = None
    error_class: Code | None = None


class VersionPublished(Facts):
    kind = Kind.VERSION_PUBLISHED
    controller: ControllerId
    model: ModelId
    version: VersionId
    number: Annotated[int, Field(ge=1)]
    parent: VersionId
    run: RunId
    sha256: Sha256
    parent_sha256: Sha256
    forget_count: Count


class VersionRestored(Facts):
    """`version` is current again; `taken_back` are those that came after it."""

    kind = Kind.VERSION_RESTORED
    controller: ControllerId
    model: ModelId
    version: VersionId
    sha256: Sha256
    taken_back: Annotated[tuple[VersionId, ...], Field(min_length=1)]
    reopened: Count
    actor: Actor


class VersionDestroyed(Facts):
    """Nobody can use the version any more. Its file goes when no other version has the same."""

    kind = Kind.VERSION_DESTROYED
    controller: ControllerId
    model: ModelId
    version: VersionId
    number: Annotated[int, Field(ge=1)]
    sha256: Sha256
    reason: Code
    request: RequestId | None = None


class RequestClosed(Facts):
    """The case's links are cut, and what is destroyed with it is decided."""

    kind = Kind.REQUEST_CLOSED
    controller: ControllerId
    request: RequestId
    link_count: Count
    row_count: Count
    shard_count: Count
    version_count: Count
    suppressed_until: Instant


class CandidateKept(Facts):
    """Rejected weights that wait for a person's decision; they serve nobody."""

    kind = Kind.CANDIDATE_KEPT
    controller: ControllerId
    model: ModelId
    version: VersionId
    number: Annotated[int, Field(ge=1)]
    run: RunId
    sha256: Sha256
    verdict: Code


class ModelPaused(Facts):
    """So many runs of the model failed one after the other that none begins for a while."""

    kind = Kind.MODEL_PAUSED
    controller: ControllerId
    model: ModelId
    run: RunId
    until: Instant
    consecutive_failures: Count
    error_class: Code


class ModelResumed(Facts):
    """By a run that came to a verdict (event `closed`), or by a person's decision."""

    kind = Kind.MODEL_RESUMED
    controller: ControllerId
    model: ModelId
    event: Code
    actor: Actor


class SuppressionExpired(Facts):
    """Tags whose time was over: of whom, nobody can tell any more."""

    kind = Kind.SUPPRESSION_EXPIRED
    controller: ControllerId
    entry_count: Annotated[int, Field(ge=1)]


class SuppressionEnded(Facts):
    """Somebody ended the suppression of a closed case's person before its time."""

    kind = Kind.SUPPRESSION_ENDED
    controller: ControllerId
    request: RequestId
    entry_count: Annotated[int, Field(ge=1)]
    actor: Actor


class LinksCut(Facts):
    """References of the person of a request that was cancelled or refused some time ago."""

    kind = Kind.LINKS_CUT
    controller: ControllerId
    request: RequestId
    link_count: Annotated[int, Field(ge=1)]


class RecheckFinished(Facts):
    """Open cases of a model were compared on a version, or its bytes with its digest alone. The
    figures are those of all cases together; empty if none could be compared."""

    kind = Kind.RECHECK_FINISHED
    controller: ControllerId
    model: ModelId
    recheck: RecheckId
    version: VersionId
    sha256: Sha256
    trigger: Code
    state: Code
    case_count: Count
    skipped_count: Count
    difference: Number | None
    standard_error: Number | None
    lower_99: Number | None
    alarm: bool | None
    relapsed_count: Count
    error_class: Code | None = None


class CaseRelapsed(Facts):
    """The version knows the case's samples better than `resting_version` did, by more than chance
    explains. `relapses` counts this one."""

    kind = Kind.CASE_RELAPSED
    controller: ControllerId
    request: RequestId
    item: ItemId
    model: ModelId
    recheck: RecheckId
    version: VersionId
    resting_version: VersionId
    samples: Count
    change: Number
    standard_error: Number
    p_value: Number | None
    q: Number | None
    relapses: Annotated[int, Field(ge=1)]


class RecheckMissed(Facts):
    """A case was closed although it had no answer on the current version of these models: it had
    waited for one as long as it may."""

    kind = Kind.RECHECK_MISSED
    controller: ControllerId
    request: RequestId
    models: Annotated[tuple[ModelId, ...], Field(min_length=1)]
