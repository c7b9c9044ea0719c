"""What the log can say: one kind per event, `source:subject:action`, and one body for each.

Bodies hold ids, codes, times, numbers and digests only. A subject reference, an external id or a
text that somebody typed has no field to stand in, and the patterns refuse it in the others.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.canonical import Code, Count, Instant, Sha256
from app.ids import (
    ApiKeyId,
    CertificateId,
    ControllerId,
    DatasetId,
    ItemId,
    ModelId,
    RequestId,
    RunId,
    VersionId,
    api_key_id,
)


class Kind(StrEnum):
    REQUEST_RECEIVED = "erasure:request:received"
    REQUEST_MOVED = "erasure:request:moved"
    ITEM_MOVED = "erasure:item:moved"
    RUN_FORMED = "erasure:run:formed"
    RUN_MOVED = "erasure:run:moved"
    VERSION_PUBLISHED = "erasure:version:published"
    VERSION_RESTORED = "erasure:version:restored"
    VERSION_DESTROYED = "erasure:version:destroyed"
    REQUEST_CLOSED = "erasure:request:closed"
    CANDIDATE_KEPT = "erasure:candidate:kept"
    MODEL_PAUSED = "erasure:model:paused"
    MODEL_RESUMED = "erasure:model:resumed"
    DATASET_REGISTERED = "registry:dataset:registered"
    DATASET_READY = "registry:dataset:ready"
    DATASET_INVALID = "registry:dataset:invalid"
    MODEL_REGISTERED = "registry:model:registered"
    MODEL_READY = "registry:model:ready"
    MODEL_INVALID = "registry:model:invalid"
    VERSION_REGISTERED = "registry:version:registered"
    VERSION_READY = "registry:version:ready"
    VERSION_INVALID = "registry:version:invalid"
    POLICY_CHANGED = "registry:policy:changed"
    SHARD_REWRITTEN = "registry:shard:rewritten"
    ARTIFACT_DESTROYED = "storage:artifact:destroyed"
    KEY_CREATED = "keys:key:created"
    CERTIFICATE_WRITTEN = "certificates:certificate:written"
    SERVICE_PAUSED = "restore:service:paused"
    SERVICE_RESUMED = "restore:service:resumed"


# Who did it: an API key, a worker, the service by itself, or a person at the machine's own prompt.
SERVICE = "service"
OPERATOR = "operator"
Actor = Annotated[str, Field(pattern=r"^((key|worker)_[0-9a-f]{32}|service|operator)$")]
WorkerName = Annotated[str, Field(pattern=r"^worker_[0-9a-f]{32}$")]
ScopeName = Annotated[str, Field(pattern=r"^[a-z]+:[a-z]+$")]


def key_actor(key: UUID) -> str:
    return api_key_id(key)


def worker_actor(worker: UUID) -> str:
    return f"worker_{worker.hex}"


class Facts(BaseModel):
    """Body of one kind of entry. `controller`, `request` and `run` also fill the row's columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[Kind]


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


class ShardRewritten(Facts):
    """A file of a dataset's rows was replaced by one that holds zeros in place of some."""

    kind = Kind.SHARD_REWRITTEN
    controller: ControllerId
    dataset: DatasetId
    number: Count
    sha256: Sha256
    replaced_sha256: Sha256


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


class DatasetRegistered(Facts):
    kind = Kind.DATASET_REGISTERED
    controller: ControllerId
    dataset: DatasetId
    upload_sha256: Sha256
    actor: Actor


class DatasetReady(Facts):
    kind = Kind.DATASET_READY
    controller: ControllerId
    dataset: DatasetId
    row_count: Count
    suppressed_rows: Count


class DatasetInvalid(Facts):
    kind = Kind.DATASET_INVALID
    controller: ControllerId
    dataset: DatasetId
    problem: Code


class ModelRegistered(Facts):
    kind = Kind.MODEL_REGISTERED
    controller: ControllerId
    model: ModelId
    dataset: DatasetId
    policy_sha256: Sha256
    actor: Actor


class ModelReady(Facts):
    kind = Kind.MODEL_READY
    controller: ControllerId
    model: ModelId


class ModelInvalid(Facts):
    kind = Kind.MODEL_INVALID
    controller: ControllerId
    model: ModelId
    problem: Code


class VersionRegistered(Facts):
    kind = Kind.VERSION_REGISTERED
    controller: ControllerId
    model: ModelId
    version: VersionId
    number: Annotated[int, Field(ge=1)]
    sha256: Sha256
    actor: Actor


class VersionReady(Facts):
    kind = Kind.VERSION_READY
    controller: ControllerId
    model: ModelId
    version: VersionId


class VersionInvalid(Facts):
    kind = Kind.VERSION_INVALID
    controller: ControllerId
    model: ModelId
    version: VersionId
    problem: Code


class PolicyChanged(Facts):
    kind = Kind.POLICY_CHANGED
    controller: ControllerId
    model: ModelId
    policy_sha256: Sha256
    actor: Actor


class ArtifactDestroyed(Facts):
    """`controller` is empty for bytes that never belonged to a registration."""

    kind = Kind.ARTIFACT_DESTROYED
    controller: ControllerId | None = None
    sha256: Sha256
    reason: Code


class KeyCreated(Facts):
    kind = Kind.KEY_CREATED
    controller: ControllerId
    key: ApiKeyId
    scopes: Annotated[tuple[ScopeName, ...], Field(min_length=1)]
    expires_at: Instant | None = None
    actor: Actor


class CertificateWritten(Facts):
    kind = Kind.CERTIFICATE_WRITTEN
    controller: ControllerId
    certificate: CertificateId
    request: RequestId
    payload_sha256: Sha256
    replaces: CertificateId | None = None


class ServicePaused(Facts):
    """The database came from a backup: it has `log_size` entries, where the mark knew of more or of
    others."""

    kind = Kind.SERVICE_PAUSED
    reason: Code
    mark_size: Count | None
    log_size: Count
    actor: Actor


class ServiceResumed(Facts):
    kind = Kind.SERVICE_RESUMED
    reason: Code
    actor: Actor


BODIES: Mapping[Kind, type[Facts]] = {body.kind: body for body in Facts.__subclasses__()}
