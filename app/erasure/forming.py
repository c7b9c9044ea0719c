"""Forming a run: from waiting items to a run with a frozen set of samples."""

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, insert, select
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.canonical import canonical_json
from app.erasure import subjects
from app.erasure.ladder import Recipe, mode_of
from app.erasure.locks import lock_items
from app.erasure.queue import waits_for_a_run, wanted_by
from app.erasure.states import ItemState, RunState, RunStep
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    ItemSample,
    RequestSubject,
    Run,
    RunItem,
    UnlearnedSample,
)
from app.erasure.transitions import Cause, Event, move_item
from app.ids import controller_id, item_id, model_id, new_id, run_id, version_id
from app.registry.policy import Policy
from app.registry.tables import (
    Model,
    ModelVersion,
    Sample,
    SampleSplit,
    SampleSubject,
    VersionState,
)

# A run takes so many persons at most: forming it is one transaction, and one that takes long would
# hold up everybody else. What is left waits for the run after.
MOST_ITEMS = 250


def recipe_of(policy: Policy) -> Recipe:
    return Recipe(policy.method, mode_of(policy.method, policy.mode), dict(policy.settings))


def recipe_again(run: Run) -> Recipe:
    """The same as an earlier run's, planned anew for the sizes of the next."""
    return Recipe(run.method, run.mode, dict(run.settings))


def recipe_after_failure(run: Run, policy: Policy) -> Recipe:
    """Nothing was measured, so the same is computed again: as the policy now says, or as the ladder
    or a person chose. So it is after a run that a hold has taken items out of."""
    return recipe_of(policy) if run.step is RunStep.POLICY else recipe_again(run)


def form_waiting(session: Session, model: Model, cause: Cause) -> tuple[Run | None, set[UUID]]:
    """A run of the items that wait for the model, those that waited longest first. Items of a run
    that was taken apart come in parts of that run, never with others; those that a hold took out of
    a run follow on that run, at its rung.

    Also gives the requests whose items changed. The run is None if nothing waited, or if earlier
    runs turned out to have covered all that did.
    """
    earlier, items = _lock_waiting(session, model.id)
    if not items:
        return None, set()
    policy = Policy.model_validate(model.policy)
    if earlier is None:
        run = form_run(session, model, items, recipe_of(policy), cause)
    else:
        run = form_run(
            session,
            model,
            items,
            recipe_after_failure(earlier, policy),
            cause,
            follows=earlier,
            rung=earlier.rung,
            step=earlier.step,
        )
    return run, {item.request_id for item in items}


def form_run(
    session: Session,
    model: Model,
    items: Sequence[ErasureItem],
    recipe: Recipe,
    cause: Cause,
    *,
    follows: Run | None = None,
    rung: int = 0,
    step: RunStep = RunStep.POLICY,
) -> Run | None:
    """A queued run of `items`, which are scheduled, on the version that is active now.

    Items whose samples that version has unlearned already are published as covered and left out;
    None if that leaves nothing. The caller settles the items' requests.
    """
    base = active_version(session, model.id)
    _freeze(session, model, items)
    items = _without_covered(session, model, base, items, cause)
    if not items:
        return None
    run = Run(
        id=(identity := new_id()),
        model_id=model.id,
        base_version_id=base.id,
        follows_id=follows.id if follows else None,
        rung=rung,
        step=step,
        state=RunState.QUEUED,
        method=recipe.method,
        mode=recipe.mode,
        settings=recipe.settings,
        seed=_seed_of(identity),
        due_at=_earliest_due(session, items),
        created_at=cause.now,
    )
    session.add(run)
    session.flush()
    session.add_all(RunItem(run_id=run.id, item_id=item.id) for item in items)
    for item in items:
        item.run_id = run.id
    session.flush()
    log.append(
        session,
        kinds.RunFormed(
            controller=controller_id(model.controller_id),
            run=run_id(run.id),
            model=model_id(model.id),
            base_version=version_id(base.id),
            base_sha256=base.artifact_sha256,
            rung=rung,
            step=step,
            follows=run_id(follows.id) if follows else None,
            method=recipe.method,
            mode=recipe.mode,
            seed=run.seed,
            settings_sha256=hashlib.sha256(canonical_json(recipe.settings)).hexdigest(),
            items=[item_id(item.id) for item in items],
            forget_count=len(forget_samples(session, run)),
        ),
        now=cause.now,
    )
    return run


def active_version(session: Session, model: UUID) -> ModelVersion:
    return session.scalars(
        select(ModelVersion).where(
            ModelVersion.model_id == model, ModelVersion.state == VersionState.ACTIVE
        )
    ).one()


def forget_samples(session: Session, run: Run) -> set[int]:
    """The run's forget set: its items' training samples that its base version still knows."""
    base = session.get_one(ModelVersion, run.base_version_id)
    items = select(RunItem.item_id).where(RunItem.run_id == run.id)
    # Asked again after publication, the run's own samples must not count as unlearned before it.
    known = ~subjects.is_unlearned(run.model_id, base.lineage_id, by_others_than=run.id)
    return set(
        session.scalars(
            select(Sample.id)
            .distinct()
            .join(ItemSample, ItemSample.sample_id == Sample.id)
            .where(
                ItemSample.item_id.in_(items),
                Sample.split == SampleSplit.TRAIN,
                Sample.destroyed_at.is_(None),
                known,
            )
        )
    )


def _lock_waiting(session: Session, model: UUID) -> tuple[Run | None, list[ErasureItem]]:
    """The items of the next run, and the run that they are left from, if they are."""
    waiting = (
        select(ErasureItem.id, ErasureItem.run_id)
        .where(ErasureItem.model_id == model, waits_for_a_run())
        .order_by(ErasureItem.accepted_at, ErasureItem.id)
    )
    first = session.execute(waiting.limit(1)).first()
    if first is None:
        return None, []
    earlier = session.get(Run, first.run_id) if first.run_id else None
    if earlier is None:
        waiting = waiting.where(ErasureItem.run_id.is_(None)).limit(MOST_ITEMS)
    else:
        waiting = waiting.where(ErasureItem.run_id == earlier.id)
        waiting = waiting.limit(_size_of_part(session, earlier))
    chosen = {identity: run for identity, run in session.execute(waiting)}
    # Read before the lock: an item that was cancelled in between is left out here.
    return earlier, [
        item
        for item in lock_items(session, chosen)
        if item.state is ItemState.SCHEDULED and item.run_id == chosen[item.id]
    ]


def _size_of_part(session: Session, run: Run) -> int:
    """All that are left if the item to blame is known and has failed; else half of the run. A hold
    leaves one item, since a request has one of each model."""
    items = session.scalar(
        select(func.count()).select_from(RunItem).where(RunItem.run_id == run.id)
    )
    blamed = exists().where(ErasureItem.run_id == run.id, ErasureItem.state == ItemState.FAILED)
    return MOST_ITEMS if session.scalar(select(blamed)) else -(-(items or 1) // 2)


def _freeze(session: Session, model: Model, items: Sequence[ErasureItem]) -> None:
    """Writes the items' samples down once; every later run of an item works on the same ones."""
    frozen = exists().where(ItemSample.item_id == ErasureItem.id)
    session.execute(
        insert(ItemSample).from_select(
            ["item_id", "sample_id"],
            select(ErasureItem.id, Sample.id)
            .distinct()
            .join(RequestSubject, RequestSubject.request_id == ErasureItem.request_id)
            .join(SampleSubject, SampleSubject.subject_ref == RequestSubject.subject_ref)
            .join(Sample, Sample.id == SampleSubject.sample_id)
            .where(
                ErasureItem.id.in_([item.id for item in items]),
                Sample.dataset_id == model.dataset_id,
                ~frozen,
            ),
        )
    )


def _without_covered(
    session: Session,
    model: Model,
    base: ModelVersion,
    items: Sequence[ErasureItem],
    cause: Cause,
) -> list[ErasureItem]:
    """The items that leave something to unlearn; the others end as published."""
    left = set(
        session.scalars(
            select(ItemSample.item_id)
            .distinct()
            .join(Sample, Sample.id == ItemSample.sample_id)
            .where(
                ItemSample.item_id.in_([item.id for item in items]),
                Sample.split == SampleSplit.TRAIN,
                Sample.destroyed_at.is_(None),
                ~subjects.is_unlearned(model.id, base.lineage_id),
            )
        )
    )
    for item in items:
        # Rows that another case destroyed may have been all there was: a person has to see that.
        if item.id not in left and not _mark_covered(session, item, model, base, cause):
            left.add(item.id)
    return [item for item in items if item.id in left]


def _mark_covered(
    session: Session, item: ErasureItem, model: Model, base: ModelVersion, cause: Cause
) -> bool:
    """Another request's run took the same samples meanwhile; False if none did."""
    covering = session.scalar(
        select(UnlearnedSample.run_id)
        .join(ItemSample, ItemSample.sample_id == UnlearnedSample.sample_id)
        .where(
            ItemSample.item_id == item.id,
            UnlearnedSample.model_id == model.id,
            subjects.counts_in(base.lineage_id),
        )
        .order_by(UnlearnedSample.run_id.desc())
        .limit(1)
    )
    if covering is None:
        return False
    detail = session.scalars(select(Run.verdict_detail).where(Run.id == covering)).first()
    model.recheck_at = cause.now  # the current version may be later than the covering run's
    move_item(
        session,
        item,
        ItemState.PUBLISHED,
        Cause(Event.COVERED, cause.actor, cause.now),
        controller=model.controller_id,
        run_id=covering,
        numbers={"outcome": (detail or {}).get("outcome"), "covered": True},
        published_at=cause.now,
    )
    return True


def _earliest_due(session: Session, items: Sequence[ErasureItem]) -> Any:
    requests = {item.request_id for item in items}
    return session.scalars(
        select(func.min(wanted_by())).where(ErasureRequest.id.in_(requests))
    ).one()


def _seed_of(identity: UUID) -> int:
    """From the run's id: no source of its own is needed, and 48 bits stay exact in JSON."""
    return int.from_bytes(hashlib.sha256(identity.bytes).digest()[:6])
