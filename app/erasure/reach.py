"""What the closing of a case reaches: the person's rows, and the versions that still know them."""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session, aliased

from app.erasure.matching import covered
from app.erasure.no_match import chosen_models
from app.erasure.states import LIVE_RUN, OPEN_REQUEST, ItemState
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    ItemSample,
    RequestSubject,
    Run,
    UnlearnedSample,
)
from app.registry.tables import (
    Artifact,
    Dataset,
    Model,
    ModelVersion,
    RegistrationState,
    Sample,
    SampleSplit,
    SampleSubject,
    VersionState,
)

_Shown = aliased(SampleSubject)


class Row(NamedTuple):
    id: int
    dataset_id: UUID
    shard_id: int
    split: SampleSplit
    sample_ref: bytes


def models_held(session: Session, request: ErasureRequest) -> set[UUID]:
    """Every model that the closing may concern: those of its items, and those of the datasets that
    hold rows of the person."""
    items = select(ErasureItem.model_id).where(ErasureItem.request_id == request.id)
    sharing = select(Model.id).where(Model.dataset_id.in_(_datasets_shown(request)))
    return set(session.scalars(items.union(sharing)))


def rows(session: Session, request: ErasureRequest) -> Sequence[Row]:
    """The person's rows, of every split, in the request's datasets: all of the controller's, or
    those of the models that the request chose.

    Rows that a model still knows stay, with their links: only with them could it unlearn them.
    """
    refs = session.scalars(
        select(RequestSubject.subject_ref).where(RequestSubject.request_id == request.id)
    ).all()
    known = {
        model.dataset_id
        for model in session.scalars(
            select(Model).where(
                Model.dataset_id.in_(_datasets_shown(request)),
                Model.state == RegistrationState.READY,
            )
        )
        if not covered(session, model, refs)
    }
    found = session.execute(
        select(Sample.id, Sample.dataset_id, Sample.shard_id, Sample.split, Sample.sample_ref)
        .where(Sample.id.in_(_shown(request)), Sample.dataset_id.in_(_datasets(request)))
        .order_by(Sample.id)
    )
    return [Row(*row) for row in found if row.dataset_id not in known]


def must_wait(session: Session, request: ErasureRequest, versions: Collection[UUID]) -> bool:
    """Somebody still works with what would be destroyed: a registration that may bring the samples
    in again, another open case that shows in the same rows, or a run on one of the versions."""
    checking = select(ModelVersion.id).where(
        ModelVersion.state == VersionState.CHECKING,
        ModelVersion.model_id.in_(models_held(session, request)),
    )
    others = (
        select(ErasureRequest.id)
        .join(RequestSubject, RequestSubject.request_id == ErasureRequest.id)
        .join(_Shown, _Shown.subject_ref == RequestSubject.subject_ref)
        .where(
            ErasureRequest.id != request.id,
            ErasureRequest.controller_id == request.controller_id,
            ErasureRequest.state.in_(OPEN_REQUEST),
            _Shown.sample_id.in_(_shown(request)),
        )
    )
    working = select(Run.id).where(Run.base_version_id.in_(versions), Run.state.in_(LIVE_RUN))
    return any(session.scalar(query.limit(1)) is not None for query in (checking, others, working))


def versions(session: Session, request: ErasureRequest) -> list[ModelVersion]:
    """Versions that know samples of the person, or that nobody can go back to; those destroyed
    already while the case was open among them."""
    items = session.scalars(
        select(ErasureItem).where(
            ErasureItem.request_id == request.id, ErasureItem.state == ItemState.PUBLISHED
        )
    ).all()
    return [one for item in items for one in _versions_to_end(session, request, item)]


_OVER = (
    VersionState.CANDIDATE,
    VersionState.SUPERSEDED,
    VersionState.REJECTED,
    VersionState.DESTROYED,
)


def _versions_to_end(
    session: Session, request: ErasureRequest, item: ErasureItem
) -> list[ModelVersion]:
    found = session.execute(
        select(ModelVersion, Artifact.destroyed_at)
        .join(Artifact, Artifact.sha256 == ModelVersion.artifact_sha256)
        .where(ModelVersion.model_id == item.model_id)
        .order_by(ModelVersion.number)
    ).all()
    left = _left_to_unlearn(session, item, [version for version, _ in found])
    return [
        version
        for version, destroyed_at in found
        if version.state in _OVER
        and (left[version.id] or version.taken_back_at is not None)
        and (destroyed_at is None or destroyed_at >= request.received_at)
    ]


def versions_that_know(session: Session, item: ErasureItem) -> list[ModelVersion]:
    """Those of the item's model that were trained on the person's samples and have not unlearned
    all of them, whatever became of them since."""
    versions = session.scalars(
        select(ModelVersion)
        .where(ModelVersion.model_id == item.model_id)
        .order_by(ModelVersion.number)
    ).all()
    left = _left_to_unlearn(session, item, versions)
    return [version for version in versions if left[version.id]]


def _left_to_unlearn(
    session: Session, item: ErasureItem, versions: Sequence[ModelVersion]
) -> dict[UUID, set[int]]:
    """Of each version, the samples that no run on the way to it unlearned. Parents come first.

    A sample that relapsed was unlearned in the version of its run alone: which of the later ones
    was the first to know it again, nobody can say.
    """
    trained_on = _training_samples(session, item)
    samples = set(session.scalars(trained_on))
    by_run: dict[UUID, set[int]] = {}
    lasting: dict[UUID, set[int]] = {}
    for run, sample, relapsed_at in session.execute(
        select(
            UnlearnedSample.run_id, UnlearnedSample.sample_id, UnlearnedSample.relapsed_at
        ).where(
            UnlearnedSample.model_id == item.model_id, UnlearnedSample.sample_id.in_(trained_on)
        )
    ):
        by_run.setdefault(run, set()).add(sample)
        if relapsed_at is None:
            lasting.setdefault(run, set()).add(sample)
    left: dict[UUID, set[int]] = {}
    handed_on: dict[UUID, set[int]] = {}
    for version in versions:
        before = samples if version.parent_id is None else handed_on[version.parent_id]
        left[version.id] = handed_on[version.id] = before
        if version.run_id is not None:
            left[version.id] = before - by_run.get(version.run_id, set())
            handed_on[version.id] = before - lasting.get(version.run_id, set())
    return left


def _training_samples(session: Session, item: ErasureItem) -> Select[int]:
    """The item's own, or what its request finds as long as no run has frozen any."""
    frozen = (
        select(ItemSample.sample_id)
        .join(Sample, Sample.id == ItemSample.sample_id)
        .where(ItemSample.item_id == item.id, Sample.split == SampleSplit.TRAIN)
    )
    if session.scalar(frozen.limit(1)) is not None:
        return frozen
    return (
        select(Sample.id)
        .join(SampleSubject, SampleSubject.sample_id == Sample.id)
        .join(RequestSubject, RequestSubject.subject_ref == SampleSubject.subject_ref)
        .join(Model, Model.dataset_id == Sample.dataset_id)
        .where(
            RequestSubject.request_id == item.request_id,
            Model.id == item.model_id,
            Sample.split == SampleSplit.TRAIN,
        )
    )


def _datasets(request: ErasureRequest) -> Select[UUID]:
    found = select(Dataset.id).where(
        Dataset.controller_id == request.controller_id, Dataset.state == RegistrationState.READY
    )
    chosen = chosen_models(request)
    if chosen is None:
        return found
    return found.where(exists().where(Model.dataset_id == Dataset.id, Model.id.in_(chosen)))


def _datasets_shown(request: ErasureRequest) -> Select[UUID]:
    """Those of the datasets that hold a row of the person."""
    return select(Sample.dataset_id).where(
        Sample.id.in_(_shown(request)), Sample.dataset_id.in_(_datasets(request))
    )


def _shown(request: ErasureRequest) -> Select[int]:
    return (
        select(SampleSubject.sample_id)
        .join(RequestSubject, RequestSubject.subject_ref == SampleSubject.subject_ref)
        .where(RequestSubject.request_id == request.id)
    )
