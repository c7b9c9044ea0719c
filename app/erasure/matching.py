"""Which models a request concerns, and what of the person each of them was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select
from sqlalchemy.orm import Session, load_only

from app.erasure import subjects
from app.erasure.subjects import Reference
from app.http.problems import FieldError, Problem
from app.registry.tables import Model, ModelVersion, RegistrationState, VersionState

# Made once, as every request asks it.
_READY = (
    select(Model)
    .where(
        Model.controller_id == bindparam("controller", type_=Uuid()),
        Model.state == RegistrationState.READY,
    )
    .options(load_only(Model.name, Model.controller_id, Model.dataset_id, Model.policy))
    .order_by(Model.id)
)


class UnknownModel(Problem):
    status = 422
    code = "unknown-model"
    title = "A model is not known"


class NothingRegistered(Problem):
    status = 409
    code = "nothing-registered"
    title = "No model is registered"


@dataclass(frozen=True)
class Match:
    model: Model
    found: subjects.Found
    # The current version has unlearned every one of the training samples already.
    covered: bool


def models_in_scope(
    session: Session, controller: UUID, chosen: Sequence[UUID] | None
) -> Sequence[Model]:
    """The ready models that a request concerns, in the order of their ids."""
    query = _READY.where(Model.id.in_(chosen)) if chosen else _READY
    models = session.scalars(query, {"controller": controller}).all()
    if chosen:
        known = {model.id for model in models}
        unknown = [
            FieldError(field=f"models.{position}", message="is not a ready model of yours")
            for position, wanted in enumerate(chosen)
            if wanted not in known
        ]
        if unknown:
            raise UnknownModel("The request names a model that cannot be used.", errors=unknown)
    if not models:
        # "No match" would be an answer about models that do not exist.
        raise NothingRegistered("Register a model and its dataset first; nothing can be searched.")
    return models


def match(
    session: Session, models: Sequence[Model], references: Sequence[Reference]
) -> list[Match]:
    refs = [reference.subject_ref for reference in references]
    by_dataset = subjects.count_samples(session, refs)
    touched = subjects.models_touched(session, refs) if by_dataset else set()
    nothing = subjects.Found(0, 0)
    found = [(model, by_dataset.get(model.dataset_id, nothing)) for model in models]
    return [
        Match(
            model,
            counts,
            bool(counts.train) and model.id in touched and covered(session, model, refs),
        )
        for model, counts in found
    ]


def covered(session: Session, model: Model, refs: Sequence[bytes]) -> bool:
    """Whether the current version's lineage has unlearned every training sample of the person."""
    lineage = session.scalar(
        select(ModelVersion.lineage_id).where(
            ModelVersion.model_id == model.id, ModelVersion.state == VersionState.ACTIVE
        )
    )
    if lineage is None:
        return False
    left = subjects.train_samples(model.dataset_id, refs).where(
        ~subjects.is_unlearned(model.id, lineage)
    )
    return session.scalar(left.limit(1)) is None
