"""Forming a run: from waiting items to a run with a frozen set of samples."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, insert, literal, select
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.canonical import canonical_json
from app.erasure import batching, subjects
from app.erasure.states import LIVE_RUN, ItemState, RunState
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    ItemSample,
    Run,
    RunItem,
    UnlearnedSample,
)
from app.erasure.transitions import Cause, Event, lock_items, move_item
from app.ids import controller_id, item_id, model_id, new_id, run_id, version_id
from app.registry.policy import Policy
from app.registry.tables import Model, ModelVersion, Sample, SampleSplit, VersionState

# Enough finished runs for a median that one odd run does not move.
RUNS_MEASURED = 9


@dataclass(frozen=True)
class Recipe:
    """How a run computes: what its audit entry fixes."""

    method: str
    mode: str
    config: dict[str, Any]

    @classmethod
    def of(cls, policy: Policy) -> "Recipe":
        return cls(policy.method, policy.mode, dict(policy.settings.items()))


def form_due_run(
    session: Session, *, coalesce: timedelta, now: datetime, actor: str
) -> tuple[Run | None, set[UUID]]:
    """A queued run for the model whose batch is ready and due first, if there is one.

    Also gives the requests whose items turned out to be covered by an earlier run.
    """
    covered: set[UUID] = set()
    for model in _models_by_due_date(session, coalesce=coalesce, now=now):
        cause = Cause(Event.CLAIMED, actor, now)
        base = active_version(session, model.id)
        waiting = _lock_waiting(session, model.id)
        items = []
        for item in waiting:
            _freeze(session, item, model)
            if _forget_count(session, model, base, [item]):
                items.append(item)
            else:
                _mark_covered(session, item, model, base, cause)
                covered.add(item.request_id)
        if items:
            recipe = Recipe.of(Policy.model_validate(model.policy))
            return form_run(session, model, base, items, recipe, cause), covered
    return None, covered


def form_run(
    session: Session,
    model: Model,
    base: ModelVersion,
    items: Sequence[ErasureItem],
    recipe: Recipe,
    cause: Cause,
    *,
    follows: Run | None = None,
    rung: int = 0,
) -> Run:
    """A queued run that holds `items`, whose samples are frozen already."""
    run = Run(
        id=(identity := new_id()),
        model_id=model.id,
        base_version_id=base.id,
        follows_id=follows.id if follows else None,
        rung=rung,
        state=RunState.QUEUED,
        method=recipe.method,
        mode=recipe.mode,
        config=recipe.config,
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
            follows=run_id(follows.id) if follows else None,
            method=recipe.method,
            mode=recipe.mode,
            seed=run.seed,
            config_sha256=hashlib.sha256(canonical_json(recipe.config)).hexdigest(),
            items=[item_id(item.id) for item in items],
            forget_count=_forget_count(session, model, base, items),
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
    before = subjects.unlearned_in_lineage(run.model_id, base.lineage_id).where(
        UnlearnedSample.run_id != run.id
    )
    return set(
        session.scalars(
            select(Sample.id)
            .distinct()
            .join(ItemSample, ItemSample.sample_id == Sample.id)
            .where(ItemSample.item_id.in_(items), Sample.split == SampleSplit.TRAIN)
            .where(Sample.id.not_in(before))
        )
    )


def measured_run_time(session: Session, model: UUID) -> timedelta | None:
    """Median length of the model's latest successful runs."""
    lengths = sorted(
        finished - started
        for started, finished in session.execute(
            select(Run.started_at, Run.finished_at)
            .where(
                Run.model_id == model,
                Run.state == RunState.SUCCEEDED,
            )
            .order_by(Run.id.desc())
            .limit(RUNS_MEASURED)
        )
        if started is not None and finished is not None
    )
    return lengths[len(lengths) // 2] if lengths else None


def _models_by_due_date(session: Session, *, coalesce: timedelta, now: datetime) -> Sequence[Model]:
    """Models whose waiting items are ready, the one with the earliest due date first."""
    waits = session.execute(
        select(ErasureItem.model_id, ErasureItem.accepted_at, _due())
        .join(ErasureRequest, ErasureRequest.id == ErasureItem.request_id)
        .where(ErasureItem.state == ItemState.SCHEDULED, ErasureItem.run_id.is_(None))
        .where(~exists().where(Run.model_id == ErasureItem.model_id, Run.state.in_(LIVE_RUN)))
    ).all()
    by_model: dict[UUID, list[batching.Waiting]] = {}
    for model, accepted, due in waits:
        by_model.setdefault(model, []).append(batching.Waiting(accepted, due))
    models = []
    for model_key in sorted(by_model, key=lambda m: min(w.due_at for w in by_model[m])):
        # Locked, so that two claims never form a run for one model; skipped if another has it.
        model = session.scalar(
            select(Model).where(Model.id == model_key).with_for_update(skip_locked=True)
        )
        if model is None:
            continue
        own = Policy.model_validate(model.policy).coalesce_seconds
        window = coalesce if own is None else timedelta(seconds=own)
        run_time = measured_run_time(session, model_key) or batching.FIRST_ESTIMATE
        if batching.ready_at(by_model[model_key], window=window, run_time=run_time) <= now:
            models.append(model)
    return models


def _lock_waiting(session: Session, model: UUID) -> Sequence[ErasureItem]:
    ids = session.scalars(
        select(ErasureItem.id).where(
            ErasureItem.model_id == model,
            ErasureItem.state == ItemState.SCHEDULED,
            ErasureItem.run_id.is_(None),
        )
    ).all()
    # Read before the lock: an item that was cancelled in between is left out here.
    return [
        item
        for item in lock_items(session, ids)
        if item.state is ItemState.SCHEDULED and item.run_id is None
    ]


def _freeze(session: Session, item: ErasureItem, model: Model) -> None:
    """Writes the item's samples down once; every later run of the item works on the same ones."""
    if session.scalar(select(exists().where(ItemSample.item_id == item.id))):
        return
    refs = subjects.stored_references(session, item.request_id)
    samples = subjects.sample_ids(model.dataset_id, refs).subquery()
    session.execute(
        insert(ItemSample).from_select(
            ["item_id", "sample_id"],
            select(literal(item.id, ItemSample.item_id.type), samples.c.id),
        )
    )


def _forget_count(
    session: Session, model: Model, base: ModelVersion, items: Sequence[ErasureItem]
) -> int:
    return session.scalars(
        select(func.count(Sample.id.distinct()))
        .join(ItemSample, ItemSample.sample_id == Sample.id)
        .where(
            ItemSample.item_id.in_([item.id for item in items]),
            Sample.split == SampleSplit.TRAIN,
            Sample.id.not_in(subjects.unlearned_in_lineage(model.id, base.lineage_id)),
        )
    ).one()


def _mark_covered(
    session: Session, item: ErasureItem, model: Model, base: ModelVersion, cause: Cause
) -> None:
    """Another request's run took the same samples while this item waited."""
    covering = session.scalar(
        select(UnlearnedSample.run_id)
        .join(ItemSample, ItemSample.sample_id == UnlearnedSample.sample_id)
        .where(ItemSample.item_id == item.id, UnlearnedSample.model_id == model.id)
        .where(
            UnlearnedSample.sample_id.in_(subjects.unlearned_in_lineage(model.id, base.lineage_id))
        )
        .order_by(UnlearnedSample.run_id.desc())
        .limit(1)
    )
    detail = session.scalars(select(Run.verdict_detail).where(Run.id == covering)).first()
    outcome = (detail or {}).get("outcome")
    move_item(
        session,
        item,
        ItemState.PUBLISHED,
        Cause(Event.COVERED, cause.actor, cause.now),
        controller=model.controller_id,
        run_id=covering,
        numbers={"outcome": outcome, "covered": True},
        published_at=cause.now,
    )


def _due() -> Any:
    return func.coalesce(ErasureRequest.extended_due_at, ErasureRequest.due_at).label("due")


def _earliest_due(session: Session, items: Sequence[ErasureItem]) -> datetime:
    dues = session.scalars(
        select(_due()).where(ErasureRequest.id.in_({item.request_id for item in items}))
    ).all()
    earliest: datetime = min(dues)
    return earliest


def _seed_of(identity: UUID) -> int:
    """From the run's id: no source of its own is needed, and 48 bits stay exact in JSON."""
    return int.from_bytes(hashlib.sha256(identity.bytes).digest()[:6])
