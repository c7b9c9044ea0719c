"""What a certificate states: an in-toto Statement (v1) with a predicate of our own type.

The predicate holds ids, codes, times, numbers and digests, sentences that the service wrote itself,
and the names of models. These are the controller's own text; beside them nothing is there by which
a person could be known.
"""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from app.canonical import Code, Count, Instant, Sha256, canonical_json
from app.certificates.model_erasure import CodeVersion, ModelErasure, Name, Part, VersionDigest
from app.certificates.sentences import Sentence
from app.ids import CertificateId, ControllerId, DatasetId, ModelId, RequestId, dataset_id

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:lotus-unlearning:erasure-certificate:v1"


class Times(Part):
    """`due` is the first legal date; `extended_due` the later one, where the period was extended.
    `completed` is empty while a case is not completed."""

    submitted: Instant
    received: Instant
    due: Instant
    extended_due: Instant | None = None
    completed: Instant | None


class Replaced(Part):
    """The certificate of the same request that this one takes the place of."""

    certificate: CertificateId
    payload_sha256: Sha256


class Destruction(Part):
    """Something that was or will be destroyed: weights, rows, links, cached outputs."""

    what: Code
    state: Literal["done", "planned"]
    at: Instant
    sha256: Sha256 | None = None
    count: Count | None = None


class Case(Part):
    """What every certificate says of the request. Its own id and what it replaces are filled in
    when it is written."""

    certificate: CertificateId | None = None
    controller: ControllerId
    request: RequestId
    times: Times
    regulation: Code
    legal_ground: Code | None
    reason_code: Code | None
    earlier_request: RequestId | None
    replaces: Replaced | None = None
    destruction: tuple[Destruction, ...]
    claims: Annotated[tuple[Sentence, ...], Field(min_length=1)]
    limits: Annotated[tuple[Sentence, ...], Field(min_length=1)]


class UnlearnedCase(Case):
    outcome: Literal["unlearned", "unlearned_not_testable", "unlearned_accepted"]
    models: Annotated[tuple[ModelErasure, ...], Field(min_length=1)]


class SearchedDataset(Part):
    """`sha256` is of the file as registered; the identity types are those looked up in it."""

    dataset: DatasetId
    sha256: Sha256
    identity_types: Annotated[tuple[Code, ...], Field(min_length=1)]


class NoMatchCase(Case):
    """No training sample was found. Held-out samples may have been: they are only counted."""

    outcome: Literal["no_match"]
    code_version: CodeVersion
    searched: Annotated[tuple[SearchedDataset, ...], Field(min_length=1)]
    identity_count: Annotated[int, Field(ge=1)]
    held_out_count: Count
    searched_at: Instant


class NotUnlearned(Part):
    """A model that a refusal leaves as it is. `training_count` samples of the person were found
    among those that it was trained on, `held_out_count` among the others."""

    model: ModelId
    name: Name
    current: VersionDigest
    training_count: Count
    held_out_count: Count


class RefusedCase(Case):
    """`models` are those that were published before the rest was refused, `searched` the datasets
    that were looked into if no model held anything."""

    outcome: Literal["refused"]
    code_version: CodeVersion
    refused_at: Instant
    models: tuple[ModelErasure, ...]
    not_unlearned: tuple[NotUnlearned, ...]
    searched: tuple[SearchedDataset, ...]

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.reason_code is None:
            raise ValueError("a refusal without a reason")
        return self


class WorkedOnAgain(Part):
    """`withdrawn` is the version that the earlier certificate rests on, if it named this model."""

    model: ModelId
    name: Name
    current: VersionDigest
    withdrawn: VersionDigest | None


class ReopenedCase(Case):
    """A completed case that is worked on again: what was stated of its end no longer holds."""

    outcome: Literal["reopened"]
    code_version: CodeVersion
    cause: Code
    reopened_at: Instant
    # When the earlier certificate said that the case was completed, and how.
    completed_before: Instant
    outcome_before: Code
    models: Annotated[tuple[WorkedOnAgain, ...], Field(min_length=1)]


AnyCase = UnlearnedCase | NoMatchCase | RefusedCase | ReopenedCase
Predicate = Annotated[AnyCase, Field(discriminator="outcome")]


class Digest(Part):
    sha256: Sha256


class Subject(Part):
    name: Name
    digest: Digest


class Statement(Part):
    type_: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")] = (
        STATEMENT_TYPE
    )
    subject: Annotated[tuple[Subject, ...], Field(min_length=1)]
    predicate_type: Annotated[
        Literal["urn:lotus-unlearning:erasure-certificate:v1"], Field(alias="predicateType")
    ] = PREDICATE_TYPE
    predicate: Predicate

    @model_validator(mode="after")
    def _subject_is_what_the_predicate_is_about(self) -> Self:
        if self.subject != _subject(self.predicate):
            raise ValueError("the subject is not what the predicate is about")
        return self

    def payload(self) -> bytes:
        """The exact bytes that are hashed into the log and signed."""
        return canonical_json(self.model_dump(mode="json", by_alias=True))


def statement_of(predicate: AnyCase) -> Statement:
    """About the weights that the case left or found; about the datasets searched if none are."""
    return Statement(subject=_subject(predicate), predicate=predicate)


def _subject(predicate: AnyCase) -> tuple[Subject, ...]:
    if isinstance(predicate, NoMatchCase):
        return _datasets(predicate.searched)
    if isinstance(predicate, ReopenedCase):
        return tuple(_weights(model.name, model.current) for model in predicate.models)
    about = tuple(_weights(model.name, model.published) for model in predicate.models)
    if isinstance(predicate, RefusedCase):
        about += tuple(_weights(model.name, model.current) for model in predicate.not_unlearned)
        return about or _datasets(predicate.searched)
    return about


def _weights(name: str, version: VersionDigest) -> Subject:
    return Subject(name=name, digest=Digest(sha256=version.sha256))


def _datasets(searched: Sequence[SearchedDataset]) -> tuple[Subject, ...]:
    return tuple(
        Subject(name=dataset_id(found.dataset), digest=Digest(sha256=found.sha256))
        for found in searched
    )
