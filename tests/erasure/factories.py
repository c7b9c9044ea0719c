"""Registered datasets and models as rows, without the files that a worker would have read."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.identities import DEFAULT_TYPE, IdentityFormat, value_sha256
from app.ids import new_id
from app.keys import service as keys
from app.registry.policy import Policy
from app.registry.tables import (
    Artifact,
    ArtifactState,
    Dataset,
    DatasetShard,
    Model,
    ModelVersion,
    RegistrationState,
    Sample,
    SampleSplit,
    SampleSubject,
    Task,
    VersionState,
)
from app.runtime import Runtime

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
Rows = Mapping[str, Mapping[SampleSplit, int]]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def add_artifact(session: Session, name: str) -> str:
    sha256 = digest(name)
    if session.get(Artifact, sha256) is None:
        session.add(
            Artifact(
                sha256=sha256,
                size=1,
                media_type="application/octet-stream",
                state=ArtifactState.STORED,
                created_at=START,
            )
        )
        session.flush()
    return sha256


def add_dataset(
    runtime: Runtime,
    session: Session,
    rows: Rows,
    *,
    name: str = "data",
    controller: str = keys.DEFAULT_CONTROLLER,
    classes: int = 2,
) -> Dataset:
    """`rows` maps a customer id to its number of rows in each split; labels alternate."""
    owner = keys.ensure_controller(session, controller, now=START)
    ring = runtime.keyring
    dataset = Dataset(
        id=new_id(),
        controller_id=owner.id,
        name=name,
        task=Task.TABULAR_CLASSIFICATION,
        class_names=[f"class {number}" for number in range(classes)],
        subject_columns=[{"column": "customer", "type": DEFAULT_TYPE, "format": "raw"}],
        upload_sha256=digest(name),
        state=RegistrationState.READY,
        pseudonym_key_id=ring.pseudonym_key_id,
        input_shape=[2],
        created_at=START,
    )
    shard = DatasetShard(
        dataset_id=dataset.id,
        number=0,
        artifact_sha256=add_artifact(session, f"{controller}/{name}/shard"),
        first_row=0,
        row_count=1,
    )
    session.add(dataset)
    session.flush()
    session.add(shard)
    session.flush()
    samples: list[tuple[Sample, bytes]] = []
    for customer, splits in rows.items():
        hashed = value_sha256(DEFAULT_TYPE, customer, IdentityFormat.RAW)
        ref = ring.subject_ref(ring.pseudonym_key_id, DEFAULT_TYPE, hashed)
        for split, count in splits.items():
            for _ in range(count):
                number = len(samples)
                sample = Sample(
                    dataset_id=dataset.id,
                    shard_id=shard.id,
                    row=number,
                    sample_ref=ring.sample_ref(ring.pseudonym_key_id, dataset.id, str(number)),
                    split=split,
                    label=number % classes,
                )
                samples.append((sample, ref))
    session.add_all(sample for sample, _ in samples)
    session.flush()
    session.add_all(
        SampleSubject(
            sample_id=sample.id,
            subject_ref=ref,
            identity_type=DEFAULT_TYPE,
            key_id=ring.pseudonym_key_id,
        )
        for sample, ref in samples
    )
    session.flush()
    return dataset


def add_model(
    session: Session, dataset: Dataset, *, name: str = "model", policy: Policy | None = None
) -> Model:
    """Ready, with version 1 trained elsewhere."""
    model = Model(
        id=new_id(),
        controller_id=dataset.controller_id,
        name=name,
        task=dataset.task,
        dataset_id=dataset.id,
        architecture="mlp",
        architecture_config={"in_features": 2, "hidden": [4], "num_classes": 2},
        policy=(policy or Policy()).model_dump(mode="json"),
        state=RegistrationState.READY,
        created_at=START,
        ready_at=START,
    )
    session.add(model)
    session.flush()
    add_version(session, model, f"{model.id}/1")
    return model


def add_version(session: Session, model: Model, weights: str) -> ModelVersion:
    """A version trained elsewhere, active at once; the one before it is superseded."""
    active = session.scalar(
        select(ModelVersion).where(
            ModelVersion.model_id == model.id, ModelVersion.state == VersionState.ACTIVE
        )
    )
    numbers = session.scalars(
        select(ModelVersion.number).where(ModelVersion.model_id == model.id)
    ).all()
    if active is not None:
        active.state = VersionState.SUPERSEDED
        session.flush()
    identity: UUID = new_id()
    version = ModelVersion(
        id=identity,
        model_id=model.id,
        number=max(numbers, default=0) + 1,
        lineage_id=identity,
        artifact_sha256=add_artifact(session, weights),
        state=VersionState.ACTIVE,
        created_at=START,
        published_at=START,
    )
    session.add(version)
    session.flush()
    return version


def submission(*customers: str, **fields: Any) -> dict[str, Any]:
    """The body of a deletion request."""
    return {
        "subjects": [{"type": DEFAULT_TYPE, "value": customer} for customer in customers],
        "regulation": "gdpr",
        **fields,
    }


def train(rows: int) -> dict[SampleSplit, int]:
    return {SampleSplit.TRAIN: rows}


def people(**rows: int) -> dict[str, dict[SampleSplit, int]]:
    """Customers with training rows, and strangers who are held out."""
    return {
        **{name: train(count) for name, count in rows.items()},
        "stranger": {SampleSplit.VALIDATION: 6, SampleSplit.TEST: 6, SampleSplit.TRAIN: 6},
    }
