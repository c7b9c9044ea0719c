"""Which models a request concerns, and what of the person each of them was trained on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select
from sqlalchemy.orm import Session, load_only

from app.erasure import counting, subjects
from app.erasure.counting import Found
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
    found: Found
    # The current version has unlearned every one of the training samples already.
    covered: bool


def models_in_scope(
    session: Session, controller: UUID, chosen: Sequence[UUID] | None
) -> Sequence[Model]:
    """The ready models that a request concerns, in the order of their ids."""
    return in_scope(ready_models(session, controller, chosen), chosen)


def ready_models(
    session: Session, controller: UUID, among: Collection[UUID] | None = None
) -> Sequence[Model]:
    query = _READY.where(Model.id.in_(among)) if among else _READY
    return session.scalars(query, {"controller": controller}).all()


def in_scope(ready: Sequence[Model], chosen: Sequence[UUID] | None) -> Sequence[Model]:
    """Of a controller's ready models those that were chosen, or all. UnknownModel if one of them is
    not there."""
    if chosen:
        known = {model.id for model in ready}
        unknown = [
            FieldError(field=f"models.{position}", message="is not a ready model of yours")
            for position, wanted in enumerate(chosen)
            if wanted not in known
        ]
        if unknown:
            raise UnknownModel("The request names a model that cannot be used.", errors=unknown)
        return [model for model in ready if model.id in set(chosen)]
    if not ready:
        # "No match" would be an answer about models that do not exist.
        raise NothingRegistered("Register a model and its dataset first; nothing can be searched.")
    return ready


def match(
    session: Session, asked: Sequence[tuple[Sequence[Model], Sequence[Reference]]]
) -> list[list[Match]]:
    """What of each person each of the models was trained on that his request concerns."""
    persons = [[reference.subject_ref for reference in references] for _, references in asked]
    counted = counting.count_samples(session, persons)
    known = [refs for refs, found in zip(persons, counted, strict=True) if found]
    touched = counting.models_touched(session, {ref for refs in known for ref in refs})
    return [
        _matches(session, models, refs, found, set[UUID]().union(*(touched[r] for r in refs)))
        for (models, _), refs, found in zip(asked, persons, counted, strict=True)
    ]


def _matches(
    session: Session,
    models: Sequence[Model],
    refs: Sequence[bytes],
    by_dataset: Mapping[UUID, Found],
    touched: Collection[UUID],
) -> list[Match]:
    nothing = Found(0, 0)
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
