"""Bodies of registrations, of policies, and of the files that rows lie in."""

from typing import Annotated

from pydantic import Field

from app.audit.kinds.base import Actor, Facts, Kind
from app.canonical import Code, Count, Sha256
from app.ids import ApiKeyId, ControllerId, DatasetId, ModelId, VersionId


class ShardRewritten(Facts):
    """A file of a dataset's rows was replaced by one that holds zeros in place of some."""

    kind = Kind.SHARD_REWRITTEN
    controller: ControllerId
    dataset: DatasetId
    number: Count
    sha256: Sha256
    replaced_sha256: Sha256


class DatasetRegistered(Facts):
    kind = Kind.DATASET_REGISTERED
    controller: ControllerId
    dataset: DatasetId
    upload_sha256: Sha256
    on_suppressed: Code = "flag"
    actor: Actor


class DatasetReady(Facts):
    kind = Kind.DATASET_READY
    controller: ControllerId
    dataset: DatasetId
    row_count: Count
    suppressed_rows: Count


class DatasetInvalid(Facts):
    """`suppressed_rows` where they are the reason."""

    kind = Kind.DATASET_INVALID
    controller: ControllerId
    dataset: DatasetId
    problem: Code
    suppressed_rows: Count | None = None


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


class VersionPulled(Facts):
    """The first time that the key asked for the version's weights and was given them."""

    kind = Kind.VERSION_PULLED
    controller: ControllerId
    model: ModelId
    version: VersionId
    number: Annotated[int, Field(ge=1)]
    sha256: Sha256
    key: ApiKeyId
