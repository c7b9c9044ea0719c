"""How many samples show a person, of each dataset: for many persons by as many statements as for
one."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, distinct, func, select
from sqlalchemy.orm import Session

from app.erasure.tables import UnlearnedSample
from app.registry.tables import Sample, SampleSplit, SampleSubject

# Made once: such a thing costs more to make than the query that uses it.
_of_these = SampleSubject.subject_ref.in_(bindparam("refs", expanding=True))
_COUNTS = (
    select(Sample.dataset_id, Sample.split, func.count(distinct(Sample.id)))
    .select_from(SampleSubject)
    .join(Sample, Sample.id == SampleSubject.sample_id)
    .where(_of_these)
    .group_by(Sample.dataset_id, Sample.split)
)
_COUNTS_EACH = _COUNTS.add_columns(SampleSubject.subject_ref).group_by(SampleSubject.subject_ref)
_TOUCHED = (
    select(SampleSubject.subject_ref, UnlearnedSample.model_id)
    .distinct()
    .join(SampleSubject, SampleSubject.sample_id == UnlearnedSample.sample_id)
    .where(_of_these)
)

_Rows = Iterable[tuple[UUID, SampleSplit, int]]


@dataclass(frozen=True)
class Found:
    """Samples of one dataset that show the person: rows to forget, and rows held out."""

    train: int
    held_out: int


def count_samples(
    session: Session, persons: Sequence[Collection[bytes]]
) -> list[dict[UUID, Found]]:
    """The samples of each of these persons, given by their references, in every dataset that has
    any: one look-up in the index of references, then the rows that it names."""
    refs = list({ref for person in persons for ref in person})
    by_ref: dict[bytes, list[tuple[UUID, SampleSplit, int]]] = defaultdict(list)
    if refs:
        for dataset, split, count, ref in session.execute(_COUNTS_EACH, {"refs": refs}):
            by_ref[ref].append((dataset, split, count))
    return [_of_person(session, set(person) & by_ref.keys(), by_ref) for person in persons]


def _of_person(
    session: Session,
    refs: set[bytes],
    by_ref: Mapping[bytes, Sequence[tuple[UUID, SampleSplit, int]]],
) -> dict[UUID, Found]:
    if not refs:
        return {}
    if len(refs) == 1:
        return _found(by_ref[next(iter(refs))])
    # One sample may show him under several of his references, and counts once.
    return _found(
        (row[0], row[1], row[2]) for row in session.execute(_COUNTS, {"refs": list(refs)})
    )


def _found(rows: _Rows) -> dict[UUID, Found]:
    counts: dict[UUID, dict[SampleSplit, int]] = defaultdict(dict)
    for dataset, split, count in rows:
        counts[dataset][split] = count
    return {
        dataset: Found(
            train=splits.get(SampleSplit.TRAIN, 0),
            held_out=sum(n for split, n in splits.items() if split is not SampleSplit.TRAIN),
        )
        for dataset, splits in counts.items()
    }


def models_touched(session: Session, refs: Collection[bytes]) -> dict[bytes, set[UUID]]:
    """Models that have ever unlearned a sample with one of these references."""
    found: dict[bytes, set[UUID]] = defaultdict(set)
    if refs:
        for ref, model in session.execute(_TOUCHED, {"refs": list(refs)}):
            found[ref].add(model)
    return found
