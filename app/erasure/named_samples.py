"""Requests that name samples by their owner's ids, beside a person's identities or instead of any.

The samples of such a request become a subject of its own: a reference made of the request's id,
which its samples show beside whomever else they show. From there on it is found, frozen, closed and
destroyed like any person. It is nobody's identity, so data that is registered later is never
matched with it.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.erasure.subjects import Reference
from app.http.problems import FieldError, Problem
from app.keyring import Keyring
from app.registry.tables import Dataset, Model, Sample, SampleSplit, SampleSubject

# No type of an identity has a hyphen.
NAMED_SAMPLES = "named-samples"
MOST_SAMPLES = 1_000


class UnknownSample(Problem):
    status = 422
    code = "unknown-sample"
    title = "A sample is not known"


def link(
    session: Session,
    keyring: Keyring,
    models: Sequence[Model],
    sample_ids: Sequence[str],
    *,
    request: UUID,
    position: int,
) -> Reference:
    """The request's own reference, which each of the samples shows from now on.

    Every id must be that of a training sample that one of the models was trained on: UnknownSample
    otherwise, since "nothing found" would be said of data that was never searched.
    """
    found: set[int] = set()
    known: set[str] = set()
    datasets = session.scalars(
        select(Dataset).where(Dataset.id.in_({model.dataset_id for model in models}))
    )
    for dataset in datasets:
        key_id = dataset.pseudonym_key_id
        if key_id is None:
            continue
        asked = {keyring.sample_ref(key_id, dataset.id, one): one for one in sample_ids}
        for sample, reference in session.execute(
            select(Sample.id, Sample.sample_ref).where(
                Sample.dataset_id == dataset.id,
                Sample.sample_ref.in_(list(asked)),
                Sample.split == SampleSplit.TRAIN,
                Sample.destroyed_at.is_(None),
            )
        ):
            found.add(sample)
            known.add(asked[reference])
    unknown = [place for place, one in enumerate(sample_ids) if one not in known]
    if unknown:
        raise UnknownSample(
            "The request names a sample that none of its models was trained on.",
            errors=[
                FieldError(field=f"sample_ids.{place}", message="is not a training sample of yours")
                for place in unknown[:20]
            ],
        )
    reference_of = Reference(
        position=position,
        identity_type=NAMED_SAMPLES,
        key_id=keyring.pseudonym_key_id,
        subject_ref=keyring.digest("named-samples", request.bytes),
        suppression_tag=keyring.digest("named-samples-tag", request.bytes),
    )
    session.add_all(
        SampleSubject(
            sample_id=sample,
            subject_ref=reference_of.subject_ref,
            identity_type=NAMED_SAMPLES,
            key_id=reference_of.key_id,
        )
        for sample in sorted(found)
    )
    session.flush()
    return reference_of


def unlink(session: Session, references: Sequence[bytes]) -> None:
    """Takes the samples' links away again, where these are references of requests of samples."""
    session.execute(
        delete(SampleSubject)
        .where(
            SampleSubject.subject_ref.in_(references),
            SampleSubject.identity_type == NAMED_SAMPLES,
        )
        .execution_options(synchronize_session=False)
    )
