"""Registering what can be unlearned. Content is checked later, by a worker."""

import hashlib
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.canonical import canonical_json
from app.http.problems import Conflict, FieldError, Problem
from app.ids import new_id
from app.registry.artifacts import require_staged
from app.registry.locks import lock_model
from app.registry.lookup import get_dataset, get_model
from app.registry.policy import Policy
from app.registry.schemas import RegisterDataset, RegisterModel, RegisterVersion
from app.registry.tables import Dataset, Model, ModelVersion, RegistrationState, VersionState
from app.storage import ArtifactStore


class NameTaken(Conflict):
    code = "name-taken"
    title = "The name is in use"


class DatasetNotReady(Conflict):
    code = "dataset-not-ready"
    title = "The dataset cannot be used yet"


class ModelNotReady(Conflict):
    code = "model-not-ready"
    title = "The model cannot be used yet"


class NormalizationMismatch(Problem):
    status = 422
    code = "normalization-mismatch"
    title = "The normalization does not fit the dataset"


def register_dataset(
    session: Session,
    store: ArtifactStore,
    body: RegisterDataset,
    *,
    controller: UUID,
    actor: str,
    now: datetime,
) -> Dataset:
    require_staged(session, store, controller, body.artifact)
    existing = session.scalar(
        select(Dataset).where(Dataset.controller_id == controller, Dataset.name == body.name)
    )
    if existing is not None:
        _free_name(existing.state)
        session.delete(existing)
        session.flush()
    dataset = Dataset(
        controller_id=controller,
        name=body.name,
        task=body.task,
        class_names=body.class_names,
        subject_columns=[column.model_dump(mode="json") for column in body.subject_columns],
        upload_sha256=body.artifact,
        on_suppressed=body.on_suppressed,
        state=RegistrationState.CHECKING,
        created_at=now,
    )
    _add(session, dataset)
    log.append(
        session,
        kinds.DatasetRegistered(
            controller=controller,
            dataset=dataset.id,
            upload_sha256=body.artifact,
            on_suppressed=body.on_suppressed,
            actor=actor,
        ),
        now=now,
    )
    return dataset


def register_model(
    session: Session,
    store: ArtifactStore,
    body: RegisterModel,
    *,
    controller: UUID,
    actor: str,
    now: datetime,
) -> tuple[Model, ModelVersion]:
    """The model and its first version, which become ready, or invalid, together."""
    dataset = get_dataset(session, body.dataset, controller=controller)
    if dataset.state is not RegistrationState.READY:
        raise DatasetNotReady("Wait until the dataset is `ready`, then register the model.")
    require_staged(session, store, controller, body.artifact)
    _check_normalization(body, dataset)
    existing = session.scalar(
        select(Model).where(Model.controller_id == controller, Model.name == body.name)
    )
    if existing is not None:
        _free_name(existing.state)
        session.execute(delete(ModelVersion).where(ModelVersion.model_id == existing.id))
        session.delete(existing)
        session.flush()
    model = Model(
        controller_id=controller,
        name=body.name,
        task=dataset.task,
        dataset_id=dataset.id,
        architecture=body.architecture,
        architecture_config=body.config,
        normalization=body.normalization.model_dump() if body.normalization else None,
        policy=body.policy.model_dump(mode="json"),
        training_recipe=(
            body.training_recipe.model_dump(mode="json") if body.training_recipe else None
        ),
        state=RegistrationState.CHECKING,
        created_at=now,
    )
    _add(session, model)
    log.append(
        session,
        kinds.ModelRegistered(
            controller=controller,
            model=model.id,
            dataset=dataset.id,
            policy_sha256=policy_sha256(body.policy),
            actor=actor,
        ),
        now=now,
    )
    return model, _add_version(session, model, 1, body.artifact, actor=actor, now=now)


def register_version(
    session: Session,
    store: ArtifactStore,
    model_id: UUID,
    body: RegisterVersion,
    *,
    controller: UUID,
    actor: str,
    now: datetime,
) -> ModelVersion:
    """Weights trained elsewhere: they begin a lineage of their own."""
    get_model(session, model_id, controller=controller)
    # Others count from the highest number too: registrations, and runs that publish.
    model = lock_model(session, model_id)
    if model is None or model.state is not RegistrationState.READY:
        raise ModelNotReady("Wait until the model is `ready`, then add a version.")
    require_staged(session, store, controller, body.artifact)
    latest = session.scalar(
        select(func.max(ModelVersion.number)).where(ModelVersion.model_id == model.id)
    )
    return _add_version(session, model, (latest or 0) + 1, body.artifact, actor=actor, now=now)


def change_policy(
    session: Session,
    model_id: UUID,
    policy: Policy,
    *,
    controller: UUID,
    actor: str,
    now: datetime,
) -> Model:
    """For runs that are formed from now on: a run's method and settings never change."""
    model = get_model(session, model_id, controller=controller)
    model.policy = policy.model_dump(mode="json")
    log.append(
        session,
        kinds.PolicyChanged(
            controller=controller,
            model=model.id,
            policy_sha256=policy_sha256(policy),
            actor=actor,
        ),
        now=now,
    )
    return model


def policy_sha256(policy: Policy) -> str:
    return hashlib.sha256(canonical_json(policy.model_dump(mode="json"))).hexdigest()


def _free_name(state: RegistrationState) -> None:
    """What ended in `invalid` holds nothing, so it gives its name up to the next attempt."""
    if state is not RegistrationState.INVALID:
        raise NameTaken("Choose another name.", errors=[_NAME_FIELD])


_NAME_FIELD = FieldError(field="name", message="is in use")


def _add(session: Session, row: Dataset | Model) -> None:
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:  # the same name, registered twice at the same moment
        raise NameTaken("Choose another name.", errors=[_NAME_FIELD]) from None


def _add_version(
    session: Session, model: Model, number: int, sha256: str, *, actor: str, now: datetime
) -> ModelVersion:
    identity = new_id()
    version = ModelVersion(
        id=identity,
        model_id=model.id,
        number=number,
        lineage_id=identity,
        artifact_sha256=sha256,
        state=VersionState.CHECKING,
        created_at=now,
    )
    session.add(version)
    log.append(
        session,
        kinds.VersionRegistered(
            controller=model.controller_id,
            model=model.id,
            version=version.id,
            number=number,
            sha256=sha256,
            actor=actor,
        ),
        now=now,
    )
    return version


def _check_normalization(body: RegisterModel, dataset: Dataset) -> None:
    if body.normalization is None or dataset.input_shape is None:
        return
    expected = dataset.input_shape[0]
    if len(body.normalization.mean) != expected:
        raise NormalizationMismatch(
            "There must be one number for each channel or feature of the dataset.",
            errors=[
                FieldError(field="normalization.mean", message=f"must have {expected} numbers")
            ],
        )
