"""A version knows samples again that an earlier one had unlearned: their cases are reopened.

What the earlier run unlearned counts no longer, so that the next run takes the samples into its
forget set once more. A case of another person that holds one of these samples said that it was
unlearned, which is no longer so: it is reopened as well. So is what a run in progress has begun
with: it took the samples for unlearned and starts again.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, select, update
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure import completion, publishing
from app.erasure.locks import items_of, lock_items, lock_requests
from app.erasure.recheck_tables import Recheck, RecheckCase
from app.erasure.reopening import reopen
from app.erasure.states import LIVE_RUN, WITHDRAWN, ItemState
from app.erasure.subjects import counts_in
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    ItemSample,
    Run,
    RunItem,
    UnlearnedSample,
)
from app.erasure.transitions import Cause, Event
from app.ids import controller_id, item_id, model_id, recheck_id, request_id, version_id
from app.keyring import Keyring
from app.registry.tables import Model, ModelVersion, Sample, SampleSplit


def relapse(
    session: Session,
    keyring: Keyring,
    model: Model,
    recheck: Recheck,
    cases: Sequence[RecheckCase],
    *,
    actor: str,
    now: datetime,
) -> set[UUID]:
    """The items that were reopened for their own relapse: those that still rest on the version with
    which they were compared. The caller holds the model and the re-check."""
    if not cases:
        return set()
    live = session.scalar(
        select(Run)
        .where(Run.model_id == model.id, Run.state.in_(LIVE_RUN))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    resting = _still_resting(session, cases)
    samples = _samples_of(resting)
    sharing = set(session.scalars(_holding(model, samples).where(_open()))) - resting
    working = items_of(session, live) if live is not None else []
    touched = live is not None and _shares(session, live, samples)
    locked = lock_items(session, resting | sharing | {item.id for item in working})
    relapsed = [item for item in locked if item.id in resting]
    shared = [item for item in locked if item.id in sharing]
    requests = {item.request_id for item in [*relapsed, *shared]}
    lock_requests(session, requests | {item.request_id for item in working})
    lineage = session.get_one(ModelVersion, recheck.version_id).lineage_id
    session.execute(
        update(UnlearnedSample)
        .where(
            UnlearnedSample.model_id == model.id,
            UnlearnedSample.sample_id.in_(samples),
            counts_in(lineage),
        )
        .values(relapsed_at=now)
        .execution_options(synchronize_session=False)
    )
    cause = Cause(Event.RELAPSED, actor, now)
    reopen(session, model, relapsed, cause)
    reopen(session, model, shared, Cause(Event.RELAPSE_SHARED, actor, now))
    by_item = {case.item_id: case for case in cases}
    for item in relapsed:
        _log(session, model, recheck, item, by_item[item.id], now)
    if live is not None and touched:
        publishing.start_again_on_new_base(
            session, keyring, live, model, actor=actor, now=now, event=Event.RELAPSE_SHARED
        )
    completion.settle(session, keyring, requests, cause)
    return {item.id for item in relapsed}


def _still_resting(session: Session, cases: Sequence[RecheckCase]) -> set[UUID]:
    return {
        case.item_id
        for case in cases
        if session.scalar(
            select(ErasureItem.id)
            .join(ModelVersion, ModelVersion.run_id == ErasureItem.run_id)
            .where(
                ErasureItem.id == case.item_id,
                ModelVersion.id == case.closing_version_id,
                _open(),
            )
        )
    }


def _open() -> ColumnElement[bool]:
    return and_(
        ErasureItem.state == ItemState.PUBLISHED,
        exists().where(
            ErasureRequest.id == ErasureItem.request_id,
            ErasureRequest.closed_at.is_(None),
            ErasureRequest.state.not_in(WITHDRAWN),
        ),
    )


def _samples_of(items: set[UUID]) -> Select[int]:
    """Training samples: only they were ever unlearned."""
    return (
        select(ItemSample.sample_id)
        .join(Sample, Sample.id == ItemSample.sample_id)
        .where(ItemSample.item_id.in_(items), Sample.split == SampleSplit.TRAIN)
    )


def _holding(model: Model, samples: Select[int]) -> Select[UUID]:
    return (
        select(ErasureItem.id)
        .distinct()
        .join(ItemSample, ItemSample.item_id == ErasureItem.id)
        .where(ErasureItem.model_id == model.id, ItemSample.sample_id.in_(samples))
    )


def _shares(session: Session, run: Run, samples: Select[int]) -> bool:
    shared = (
        select(ItemSample.sample_id)
        .join(RunItem, RunItem.item_id == ItemSample.item_id)
        .where(RunItem.run_id == run.id, ItemSample.sample_id.in_(samples))
    )
    return session.scalar(shared.limit(1)) is not None


def _log(
    session: Session,
    model: Model,
    recheck: Recheck,
    item: ErasureItem,
    case: RecheckCase,
    now: datetime,
) -> None:
    log.append(
        session,
        kinds.CaseRelapsed(
            controller=controller_id(model.controller_id),
            request=request_id(item.request_id),
            item=item_id(item.id),
            model=model_id(model.id),
            recheck=recheck_id(recheck.id),
            version=version_id(recheck.version_id),
            closing_version=version_id(case.closing_version_id),
            samples=case.samples or 0,
            change=case.change or 0.0,
            standard_error=case.standard_error or 0.0,
            p_value=case.p_value,
            q=case.q,
            relapses=item.relapses,
        ),
        now=now,
    )
