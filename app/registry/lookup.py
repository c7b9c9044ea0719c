"""Looking up datasets, models and versions. Another controller's row and no row are answered alike.

Lists are newest first.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.http.problems import NotFound
from app.registry.tables import Dataset, Model, ModelVersion, VersionState


class UnknownDataset(NotFound):
    code = "unknown-dataset"
    title = "No such dataset"


class UnknownModel(NotFound):
    code = "unknown-model"
    title = "No such model"


class UnknownVersion(NotFound):
    code = "unknown-version"
    title = "No such version of this model"


def get_dataset(session: Session, dataset_id: UUID, *, controller: UUID) -> Dataset:
    dataset = session.get(Dataset, dataset_id)
    if dataset is None or dataset.controller_id != controller:
        raise UnknownDataset("No dataset of yours has this id.")
    return dataset


def get_model(session: Session, model_id: UUID, *, controller: UUID) -> Model:
    model = session.get(Model, model_id)
    if model is None or model.controller_id != controller:
        raise UnknownModel("No model of yours has this id.")
    return model


def get_version(session: Session, model: Model, number: int) -> ModelVersion:
    version = session.scalar(
        select(ModelVersion)
        .where(ModelVersion.model_id == model.id)
        .where(ModelVersion.number == number)
    )
    if version is None:
        raise UnknownVersion("This model has no version of this number.")
    return version


def current_versions(session: Session, models: Sequence[UUID]) -> dict[UUID, ModelVersion]:
    """The version that each model serves at present, for models that have one."""
    found = session.scalars(
        select(ModelVersion)
        .where(ModelVersion.model_id.in_(models))
        .where(ModelVersion.state == VersionState.ACTIVE)
    )
    return {version.model_id: version for version in found}


def datasets_of(controller: UUID) -> Select[Dataset]:
    return select(Dataset).where(Dataset.controller_id == controller)


def models_of(controller: UUID) -> Select[Model]:
    return select(Model).where(Model.controller_id == controller)


def list_versions(
    session: Session, model: Model, *, before: int | None, limit: int
) -> Sequence[ModelVersion]:
    query = select(ModelVersion).where(ModelVersion.model_id == model.id)
    if before is not None:
        query = query.where(ModelVersion.number < before)
    return session.scalars(query.order_by(ModelVersion.number.desc()).limit(limit)).all()
