"""From identities to references, and from references to samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, distinct, exists, func, select, union
from sqlalchemy.orm import Session, aliased

from app.erasure.states import RequestState
from app.erasure.tables import ErasureRequest, RequestSubject, Run, UnlearnedSample
from app.http.problems import FieldError, Problem
from app.identities import BadIdentity, IdentityFormat, value_sha256
from app.keyring import Keyring
from app.registry.tables import (
    Dataset,
    ModelVersion,
    RegistrationState,
    Sample,
    SampleSplit,
    SampleSubject,
)


class IdentityNotValid(Problem):
    status = 422
    code = "identity-not-valid"
    title = "An identity cannot be used"


class IdentityTypeNotIndexed(Problem):
    status = 422
    code = "identity-type-not-indexed"
    title = "No dataset is indexed by this identity type"


@dataclass(frozen=True)
class Identity:
    identity_type: str
    value: str
    form: IdentityFormat

    def __repr__(self) -> str:
        # A traceback or a log line that shows this object must not show the person.
        return f"Identity({self.identity_type!r}, …)"


@dataclass(frozen=True)
class Reference:
    """One identity under one pseudonym key: what may be stored of a person."""

    position: int
    identity_type: str
    key_id: str
    subject_ref: bytes
    suppression_tag: bytes


@dataclass(frozen=True)
class Found:
    """Samples of one dataset that show the person: rows to forget, and rows held out."""

    train: int
    held_out: int


def reference(
    session: Session, keyring: Keyring, controller: UUID, identities: Sequence[Identity]
) -> list[Reference]:
    """References under every key that a dataset of this controller was registered with, and under
    the one that the next dataset will use, so that data registered later is matched as well.

    An identity type that no dataset declares is refused: answering "nothing found" for it would be
    a statement about data that was never searched.
    """
    datasets = session.scalars(
        select(Dataset).where(
            Dataset.controller_id == controller, Dataset.state == RegistrationState.READY
        )
    ).all()
    indexed = {column["type"] for dataset in datasets for column in dataset.subject_columns}
    keys_in_use = {dataset.pseudonym_key_id for dataset in datasets if dataset.pseudonym_key_id}
    unknown_keys = keys_in_use - keyring.pseudonym.keys()
    if unknown_keys:
        # Searching without the key would find nothing and call it an answer.
        raise RuntimeError(f"pseudonym keys missing from LOTUS_PSEUDONYM_KEY: {unknown_keys}")
    references: list[Reference] = []
    for position, identity in enumerate(identities):
        if identity.identity_type not in indexed:
            raise IdentityTypeNotIndexed(
                "No ready dataset of this controller declares a subject column of this type, so "
                "nothing could be searched.",
                errors=[FieldError(field=f"subjects.{position}.type", message="is not indexed")],
            )
        try:
            digest = value_sha256(identity.identity_type, identity.value, identity.form)
        except BadIdentity as error:
            raise IdentityNotValid(
                "An identity value cannot be used.",
                errors=[FieldError(field=f"subjects.{position}.value", message=str(error))],
            ) from None
        tag = keyring.suppression_tag(identity.identity_type, digest)
        references.extend(
            Reference(
                position=position,
                identity_type=identity.identity_type,
                key_id=key_id,
                subject_ref=keyring.subject_ref(key_id, identity.identity_type, digest),
                suppression_tag=tag,
            )
            for key_id in sorted(keys_in_use | {keyring.pseudonym_key_id})
        )
    return references


def stored_references(session: Session, request_id: UUID) -> list[bytes]:
    """The references under which the person of a request is known, for every key and identity."""
    return list(
        session.scalars(
            select(RequestSubject.subject_ref).where(RequestSubject.request_id == request_id)
        )
    )


def count_samples(session: Session, dataset_id: UUID, refs: Sequence[bytes]) -> Found:
    """One look-up in the index of references, then the rows that it names."""
    rows = session.execute(
        select(Sample.split, func.count(distinct(Sample.id)))
        .join(SampleSubject, SampleSubject.sample_id == Sample.id)
        .where(SampleSubject.subject_ref.in_(refs), Sample.dataset_id == dataset_id)
        .group_by(Sample.split)
    ).all()
    counts = {split: count for split, count in rows}
    train = counts.pop(SampleSplit.TRAIN, 0)
    return Found(train=train, held_out=sum(counts.values()))


def train_samples(dataset_id: UUID, refs: Sequence[bytes]) -> Select[int]:
    """The person's training samples in the dataset."""
    return sample_ids(dataset_id, refs).where(Sample.split == SampleSplit.TRAIN)


def sample_ids(dataset_id: UUID, refs: Sequence[bytes]) -> Select[int]:
    """Every sample of the dataset, of any split, that shows the person."""
    return (
        select(Sample.id)
        .distinct()
        .join(SampleSubject, SampleSubject.sample_id == Sample.id)
        .where(SampleSubject.subject_ref.in_(refs), Sample.dataset_id == dataset_id)
    )


def unlearned_in_lineage(model_id: UUID, lineage_id: UUID) -> Select[int]:
    """Samples that versions of this lineage have already unlearned.

    A version trained elsewhere starts a new lineage: it may have seen the samples again.
    """
    base = aliased(ModelVersion)
    return (
        select(UnlearnedSample.sample_id)
        .join(Run, Run.id == UnlearnedSample.run_id)
        .join(base, base.id == Run.base_version_id)
        .where(UnlearnedSample.model_id == model_id, base.lineage_id == lineage_id)
    )


def excluded_samples(session: Session, model_id: UUID, dataset_id: UUID) -> set[int]:
    """Samples that no retain, validation or test set of this model may hold.

    Those of every person with a request that stands (open or completed), of any split, and all
    that this model has unlearned. Persons whose request was cancelled or refused are not excluded.
    """
    asked = (
        select(Sample.id)
        .join(SampleSubject, SampleSubject.sample_id == Sample.id)
        .where(Sample.dataset_id == dataset_id)
        .where(
            exists()
            .where(RequestSubject.subject_ref == SampleSubject.subject_ref)
            .where(ErasureRequest.id == RequestSubject.request_id)
            .where(ErasureRequest.controller_id == Dataset.controller_id)
            .where(ErasureRequest.state.not_in([RequestState.CANCELLED, RequestState.REFUSED]))
            .where(Dataset.id == dataset_id)
        )
    )
    unlearned = select(UnlearnedSample.sample_id).where(UnlearnedSample.model_id == model_id)
    return set(session.scalars(union(asked, unlearned)))
