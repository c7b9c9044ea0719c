"""What a deletion would mean, before anyone asks for it: nothing is stored."""

from collections.abc import Mapping, Sequence
from math import sqrt
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.erasure import counting, matching, queue, subjects
from app.erasure.schemas import Impact, ModelImpact
from app.erasure.subjects import Identity
from app.keyring import Keyring
from app.registry.policy import Policy
from app.registry.tables import Model, Sample, SampleSplit

# z(.95) + z(.90): a two-sided 90 % interval and 80 % power, on the uniform percentile's deviation.
_PLANNING_FACTOR = 2.93


def assess(
    session: Session,
    keyring: Keyring,
    controller: UUID,
    identities: Sequence[Identity],
    models: Sequence[UUID] | None,
) -> Impact:
    chosen = matching.models_in_scope(session, controller, models)
    references = subjects.reference(session, keyring, controller, identities)
    return of_references(session, chosen, [reference.subject_ref for reference in references])


def of_references(session: Session, models: Sequence[Model], refs: Sequence[bytes]) -> Impact:
    return Impact(models=[_assess(session, model, refs) for model in models])


def provable_margin(forget: Mapping[int, int], unseen: Mapping[int, float]) -> float | None:
    """Smallest deviation of the AUC from .5 that samples of these counts by class can exclude.

    None if nothing is to be forgotten, or if a class to forget from has no unseen samples.
    """
    n_f = sum(forget.values())
    if not n_f or any(not unseen.get(label) for label in forget):
        return None
    # Unseen samples weigh as much as their class does among the forget samples.
    n_eff = 1 / sum((count / n_f) ** 2 / unseen[label] for label, count in forget.items())
    return _PLANNING_FACTOR * sqrt((1 / n_f + 1 / n_eff) / 12)


def _assess(session: Session, model: Model, refs: Sequence[bytes]) -> ModelImpact:
    found = counting.count_samples(session, [refs])[0].get(model.dataset_id, counting.Found(0, 0))
    own = subjects.sample_ids(model.dataset_id, refs)
    forget = _train_by_class(session, own)
    unseen = _unseen_by_class(session, model.dataset_id, own)
    margin = provable_margin(forget, unseen)
    run_time = queue.measured_run_time(session, model.id)
    policy = Policy.model_validate(model.policy).verification
    return ModelImpact(
        model=model.id,
        name=model.name,
        forget_count=found.train,
        held_out_count=found.held_out,
        retain_count=_train_count(session, model.dataset_id) - found.train,
        unseen_count=int(sum(unseen.values())),
        estimated_seconds=run_time.total_seconds() if run_time else None,
        provable_margin=margin,
        enough_data=margin is not None and margin <= policy.delta_auc,
    )


def _train_by_class(session: Session, own: Select[int]) -> dict[int, int]:
    rows = session.execute(
        select(Sample.label, func.count())
        .where(Sample.id.in_(own), Sample.split == SampleSplit.TRAIN)
        .group_by(Sample.label)
    )
    return {label: count for label, count in rows}


def _train_count(session: Session, dataset: UUID) -> int:
    return session.scalars(
        select(func.count()).where(
            Sample.dataset_id == dataset,
            Sample.split == SampleSplit.TRAIN,
            Sample.destroyed_at.is_(None),
        )
    ).one()


def _unseen_by_class(session: Session, dataset: UUID, own: Select[int]) -> dict[int, float]:
    """What verification can count on: the test split, or half of the only held-out split."""
    by_split: dict[SampleSplit, dict[int, float]] = {}
    for split, label, count in session.execute(
        select(Sample.split, Sample.label, func.count())
        .where(
            Sample.dataset_id == dataset,
            Sample.split != SampleSplit.TRAIN,
            Sample.destroyed_at.is_(None),
            Sample.id.not_in(own),
        )
        .group_by(Sample.split, Sample.label)
    ):
        by_split.setdefault(split, {})[label] = count
    if len(by_split) == 2:
        return by_split[SampleSplit.TEST]
    only = next(iter(by_split.values()), {})
    return {label: count / 2 for label, count in only.items()}
