"""From identities to references, and from references to samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    Uuid,
    and_,
    bindparam,
    exists,
    select,
    union,
)
from sqlalchemy.orm import Session, aliased

from app.erasure.states import WITHDRAWN, ItemState
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    ErrorClass,
    RequestSubject,
    UnlearnedSample,
)
from app.http.problems import FieldError, Problem
from app.identities import BadIdentity, IdentityFormat, value_sha256
from app.keyring import Keyring
from app.registry import pseudonym_keys
from app.registry.tables import (
    Dataset,
    ModelVersion,
    RegistrationState,
    Sample,
    SampleSplit,
    SampleSubject,
)

# Made once: such a thing costs more to make than the query that uses it.
_Published = aliased(ModelVersion)
_READY_DATASETS = select(
    Dataset.subject_columns, Dataset.pseudonym_key_id, Dataset.pseudonym_key_check
).where(
    Dataset.controller_id == bindparam("controller", type_=Uuid()),
    Dataset.state == RegistrationState.READY,
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
class Indexed:
    """By what the ready datasets of a controller list persons: types of identities, and the keys of
    their references with the one that the next dataset will use, so that data registered later is
    matched as well."""

    identity_types: frozenset[str]
    key_ids: tuple[str, ...]

    @classmethod
    def by(cls, session: Session, keyring: Keyring, controller: UUID) -> "Indexed":
        datasets = session.execute(_READY_DATASETS, {"controller": controller}).all()
        pseudonym_keys.require(keyring, [(key, check) for _, key, check in datasets])
        in_use = {key for _, key, _ in datasets if key}
        return cls(
            frozenset(column["type"] for columns, _, _ in datasets for column in columns),
            tuple(sorted(in_use | {keyring.pseudonym_key_id})),
        )

    def references(self, keyring: Keyring, identities: Sequence[Identity]) -> list[Reference]:
        """Each identity under every key.

        An identity type that no dataset declares is refused: answering "nothing found" for it would
        be a statement about data that was never searched.
        """
        found: list[Reference] = []
        for position, identity in enumerate(identities):
            if identity.identity_type not in self.identity_types:
                raise IdentityTypeNotIndexed(
                    "No ready dataset of this controller declares a subject column of this type, "
                    "so nothing could be searched.",
                    errors=[
                        FieldError(field=f"subjects.{position}.type", message="is not indexed")
                    ],
                )
            digest = digest_of(position, identity)
            tag = keyring.suppression_tag(identity.identity_type, digest)
            found.extend(
                Reference(
                    position=position,
                    identity_type=identity.identity_type,
                    key_id=key_id,
                    subject_ref=keyring.subject_ref(key_id, identity.identity_type, digest),
                    suppression_tag=tag,
                )
                for key_id in self.key_ids
            )
        return found


def reference(
    session: Session, keyring: Keyring, controller: UUID, identities: Sequence[Identity]
) -> list[Reference]:
    return Indexed.by(session, keyring, controller).references(keyring, identities)


def digest_of(position: int, identity: Identity) -> str:
    """What references and tags are made from; `position` is the identity's place in the call."""
    try:
        return value_sha256(identity.identity_type, identity.value, identity.form)
    except BadIdentity as error:
        raise IdentityNotValid(
            "An identity value cannot be used.",
            errors=[FieldError(field=f"subjects.{position}.value", message=str(error))],
        ) from None


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


def is_unlearned(
    model_id: UUID, lineage_id: UUID, *, by_others_than: UUID | None = None
) -> ColumnElement[bool]:
    """Condition on `Sample`: a version of this lineage has already unlearned it.

    A version trained elsewhere starts a new lineage: it may have seen the samples again. What a
    rollback took back is not unlearned in the versions before it, and what has relapsed must be
    unlearned once more.
    """
    found = (
        exists()
        .where(UnlearnedSample.model_id == model_id, UnlearnedSample.sample_id == Sample.id)
        .where(counts_in(lineage_id))
    )
    if by_others_than is None:
        return found
    return found.where(UnlearnedSample.run_id != by_others_than)


def counts_in(lineage_id: UUID | ScalarSelect[UUID]) -> ColumnElement[bool]:
    """Condition on `UnlearnedSample`: its run published a version of this lineage, no rollback has
    taken that version back, and no re-check has found that a later one knows the sample again."""
    published = exists().where(
        _Published.run_id == UnlearnedSample.run_id,
        _Published.lineage_id == lineage_id,
        _Published.taken_back_at.is_(None),
    )
    return and_(UnlearnedSample.relapsed_at.is_(None), published)


def excluded_samples(session: Session, model_id: UUID, dataset_id: UUID) -> set[int]:
    """Samples that no retain, validation or test set of this model may hold.

    Those of every person with a request that stands (open or completed), of any split, and all
    that this model has unlearned. Persons whose request was cancelled or refused are not excluded.
    Neither are those whose item failed on this model for want of other data, until a person acts:
    with their rows left out there would be none to carry out anybody else's request with.
    """
    without_data = exists().where(
        ErasureItem.request_id == ErasureRequest.id,
        ErasureItem.model_id == model_id,
        ErasureItem.state == ItemState.FAILED,
        ErasureItem.error_class == ErrorClass.MISSING_DATA,
    )
    asked = (
        select(Sample.id)
        .select_from(RequestSubject)
        .join(ErasureRequest, ErasureRequest.id == RequestSubject.request_id)
        .join(SampleSubject, SampleSubject.subject_ref == RequestSubject.subject_ref)
        .join(Sample, Sample.id == SampleSubject.sample_id)
        .where(
            ErasureRequest.controller_id
            == select(Dataset.controller_id).where(Dataset.id == dataset_id).scalar_subquery(),
            ErasureRequest.state.not_in(WITHDRAWN),
            Sample.dataset_id == dataset_id,
            ~without_data,
        )
    )
    unlearned = select(UnlearnedSample.sample_id).where(UnlearnedSample.model_id == model_id)
    return set(session.scalars(union(asked, unlearned)))
