"""What can be unlearned: artifacts, datasets with their sample references, models and versions."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigId, Sha256Hex, enum_text
from app.ids import new_id


class RegistrationState(StrEnum):
    """A dataset or a model is usable only once a worker has read its content."""

    CHECKING = "checking"
    READY = "ready"
    INVALID = "invalid"


class VersionState(StrEnum):
    CHECKING = "checking"
    INVALID = "invalid"
    CANDIDATE = "candidate"
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    DESTROYED = "destroyed"


class SampleSplit(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Task(StrEnum):
    IMAGE_CLASSIFICATION = "image_classification"
    TABULAR_CLASSIFICATION = "tabular_classification"


class ArtifactState(StrEnum):
    """A staged upload may hold raw identities: it is kept only until its registration ends."""

    STAGED = "staged"
    STORED = "stored"
    DESTROYED = "destroyed"


class OnSuppressed(StrEnum):
    """What becomes of a dataset that holds rows of persons whose data must not come back."""

    FLAG = "flag"
    REFUSE = "refuse"


class Artifact(Base):
    """A file named by its content. The row stays for ever; the bytes go when nothing needs them.

    `unneeded_since` is when the last that named it let it go, and `destroyed_reason` says why, from
    then on.
    """

    __tablename__ = "artifacts"

    sha256: Mapped[str] = mapped_column(Sha256Hex, primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(String(100))
    state: Mapped[ArtifactState] = mapped_column(enum_text(ArtifactState))
    created_at: Mapped[datetime]
    unneeded_since: Mapped[datetime | None]
    destroyed_at: Mapped[datetime | None]
    destroyed_reason: Mapped[str | None] = mapped_column(String(40))


class Dataset(Base):
    """Immutable once ready. `subject_columns` is a list of {column, type, format}."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("controller_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    controller_id: Mapped[UUID] = mapped_column(ForeignKey("controllers.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    task: Mapped[Task] = mapped_column(enum_text(Task))
    class_names: Mapped[list[Any]]
    subject_columns: Mapped[list[Any]]
    upload_sha256: Mapped[str] = mapped_column(Sha256Hex)
    state: Mapped[RegistrationState] = mapped_column(enum_text(RegistrationState), index=True)
    problem: Mapped[dict[str, Any] | None]
    input_shape: Mapped[list[Any] | None]
    pseudonym_key_id: Mapped[str | None] = mapped_column(String(40))
    # What the key makes of a constant: tells another key under the same id from this one.
    pseudonym_key_check: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    split_counts: Mapped[dict[str, Any] | None]
    on_suppressed: Mapped[OnSuppressed] = mapped_column(
        enum_text(OnSuppressed), default=OnSuppressed.FLAG, server_default="flag"
    )
    suppressed_rows: Mapped[int | None]
    created_at: Mapped[datetime]
    ready_at: Mapped[datetime | None]
    check_attempts: Mapped[int] = mapped_column(default=0)
    check_lease_until: Mapped[datetime | None]


class DatasetShard(Base):
    """About 1,000 rows in one file, so that a file can be rewritten without one person's rows."""

    __tablename__ = "dataset_shards"
    __table_args__ = (UniqueConstraint("dataset_id", "number"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.id"))
    number: Mapped[int]
    artifact_sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"), index=True)
    first_row: Mapped[int]
    row_count: Mapped[int]


class Sample(Base):
    """`row` counts from 0 over the whole dataset; `sample_ref` is an HMAC of the owner's id.

    Of a destroyed sample only the place remains, since others count from it: the reference is
    overwritten with a number of its own, the label is 0, and the shard holds zeros there.
    """

    __tablename__ = "samples"
    __table_args__ = (
        UniqueConstraint("dataset_id", "row"),
        UniqueConstraint("dataset_id", "sample_ref"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.id"))
    shard_id: Mapped[int] = mapped_column(ForeignKey("dataset_shards.id"), index=True)
    row: Mapped[int]
    sample_ref: Mapped[bytes] = mapped_column(LargeBinary(32))
    split: Mapped[SampleSplit] = mapped_column(enum_text(SampleSplit))
    label: Mapped[int]
    destroyed_at: Mapped[datetime | None]


class SampleSubject(Base):
    """One sample may show several subjects, and one subject may be known under several types."""

    __tablename__ = "sample_subjects"

    sample_id: Mapped[int] = mapped_column(ForeignKey("samples.id"), primary_key=True)
    # The reference is an HMAC over type and value, so it alone finds a subject: one index read.
    subject_ref: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True, index=True)
    identity_type: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str] = mapped_column(String(40))


class Model(Base):
    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("controller_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    controller_id: Mapped[UUID] = mapped_column(ForeignKey("controllers.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    task: Mapped[Task] = mapped_column(enum_text(Task))
    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.id"), index=True)
    architecture: Mapped[str] = mapped_column(String(100))
    architecture_config: Mapped[dict[str, Any]]
    # {mean, std} per input channel, applied after scaling to [0, 1]; empty for none.
    normalization: Mapped[dict[str, Any] | None]
    policy: Mapped[dict[str, Any]]
    training_recipe: Mapped[dict[str, Any] | None]
    state: Mapped[RegistrationState] = mapped_column(enum_text(RegistrationState), index=True)
    problem: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    ready_at: Mapped[datetime | None]
    # Failed runs since the last that came to a verdict; after several none begins for a while.
    consecutive_failures: Mapped[int] = mapped_column(default=0, server_default="0")
    paused_until: Mapped[datetime | None]
    paused_reason: Mapped[str | None] = mapped_column(String(40))
    # When somebody has to look whether completed cases hold on the current version.
    recheck_at: Mapped[datetime | None]


class ModelVersion(Base):
    """Immutable weights. `run_id` is empty for a version trained elsewhere.

    `lineage_id` is the version trained elsewhere from which this one descends: what was unlearned
    in one lineage is not unlearned in another.

    `taken_back_at`: a rollback made an earlier version current again. What the version's run
    unlearned counts no longer, and the version never comes back.
    """

    __tablename__ = "model_versions"
    __table_args__ = (
        UniqueConstraint("model_id", "number"),
        Index(
            "uq_model_versions_one_active",
            "model_id",
            unique=True,
            sqlite_where=text("state = 'active'"),
            postgresql_where=text("state = 'active'"),
        ),
        # One published version per run, whatever a stale worker believes.
        Index(
            "uq_model_versions_one_per_run",
            "run_id",
            unique=True,
            sqlite_where=text("run_id IS NOT NULL"),
            postgresql_where=text("run_id IS NOT NULL"),
        ),
        CheckConstraint("number >= 1", name="number_from_one"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("models.id"))
    number: Mapped[int]
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("model_versions.id"))
    lineage_id: Mapped[UUID]
    artifact_sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"), index=True)
    # No foreign key: runs refer to versions already, and a cycle would break a plain restore.
    run_id: Mapped[UUID | None]
    state: Mapped[VersionState] = mapped_column(enum_text(VersionState), index=True)
    problem: Mapped[dict[str, Any] | None]
    metrics: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    taken_back_at: Mapped[datetime | None]
    # False for versions that were there before pulls were recorded: their recipients are not known.
    pulls_recorded: Mapped[bool] = mapped_column(default=True, server_default=false())
    check_attempts: Mapped[int] = mapped_column(default=0)
    check_lease_until: Mapped[datetime | None]
