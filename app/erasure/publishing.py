"""The end of a run that is published: a new version that everything points to.

Each of these functions is one transaction's work. The weights' file exists already: it is named by
its content, so a file that no transaction refers to is an orphan and never a wrong version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session, undefer

from app.audit import kinds, log
from app.erasure import breaker, completion, forming
from app.erasure.locks import Fence, fenced_run, items_of
from app.erasure.states import ItemState, Outcome, RunState
from app.erasure.tables import Run, UnlearnedSample
from app.erasure.transitions import Cause, Event, move_item, move_run
from app.ids import controller_id, model_id, run_id, version_id
from app.keyring import Keyring
from app.registry.artifacts import SAFETENSORS, note_stored
from app.registry.locks import lock_model
from app.registry.tables import Model, ModelVersion, VersionState
from app.restore.service import is_paused


@dataclass(frozen=True)
class Weights:
    sha256: str
    size: int


@dataclass(frozen=True)
class Judged:
    """What verification said. `detail` is the verdict with its reasons and the policy it used;
    `persons` maps an item to its own figures. `plots` are empty where stored ones are to stay."""

    report: dict[str, Any]
    verdict: str
    detail: dict[str, Any]
    persons: Mapping[UUID, dict[str, Any]]
    plots: dict[str, Any] | None = None


def publish(
    session: Session,
    keyring: Keyring,
    fence: Fence,
    weights: Weights,
    judged: Judged,
    *,
    actor: str,
    now: datetime,
) -> RunState:
    """SUCCEEDED, or SUPERSEDED if another version became current while the run computed, or QUEUED
    if the service was paused meanwhile.

    The fence alone would let the run of a restored database publish, if the backup knows the
    attempt: its weights are right, but a certificate that says so cannot be taken back, and the
    person who looks may yet restore another backup. To compute it again costs only time.
    """
    run, model, base = hold_still(session, fence)
    if is_paused(session):
        stopped = Cause(Event.STOPPED, actor, now)
        move_run(session, run, RunState.QUEUED, stopped, controller=model.controller_id)
        return RunState.QUEUED
    if base.state is not VersionState.ACTIVE:
        start_again_on_new_base(session, keyring, run, model, actor=actor, now=now)
        return RunState.SUPERSEDED
    cause = Cause(Event.PUBLISHED, actor, now)
    breaker.close(session, model, cause)
    version = new_version(session, model, base, run, weights, VersionState.CANDIDATE, now)
    record(session, run, judged)
    _finish(session, keyring, run, model, base, version, judged, cause)
    return RunState.SUCCEEDED


def accept_candidate(session: Session, keyring: Keyring, run: Run, cause: Cause) -> RunState:
    """A person publishes a rejected candidate with its true verdict. The caller holds the model's
    lock and the run's."""
    model = session.get_one(Model, run.model_id)
    base = session.get_one(ModelVersion, run.base_version_id, populate_existing=True)
    if base.state is not VersionState.ACTIVE:
        return RunState.SUPERSEDED
    assert run.candidate_version_id is not None
    version = session.get_one(ModelVersion, run.candidate_version_id)
    stored = session.scalars(
        select(Run)
        .where(Run.id == run.id)
        .options(undefer(Run.metrics), undefer(Run.verdict_detail))
        .execution_options(populate_existing=True)
    ).one()
    judged = Judged(
        report=stored.metrics or {},
        verdict=stored.verdict or "",
        detail={**(stored.verdict_detail or {}), "outcome": Outcome.UNLEARNED_ACCEPTED},
        persons={item.id: dict(item.numbers or {}) for item in items_of(session, run)},
    )
    record(session, run, judged)
    _finish(session, keyring, run, model, base, version, judged, cause)
    return RunState.SUCCEEDED


def start_again_on_new_base(
    session: Session,
    keyring: Keyring,
    run: Run,
    model: Model,
    *,
    actor: str,
    now: datetime,
    event: Event = Event.BASE_CHANGED,
) -> None:
    """The version that the run started from is no longer current: its result would undo the new
    one. Or it is, and knows samples of the run again. The same items start again from the version
    that is current now."""
    cause = Cause(event, actor, now)
    move_run(session, run, RunState.SUPERSEDED, cause, controller=model.controller_id)
    items = items_of(session, run)
    for item in items:
        if item.state is ItemState.RUNNING:
            move_item(session, item, ItemState.SCHEDULED, cause, controller=model.controller_id)
    forming.form_run(
        session,
        model,
        items,
        forming.recipe_again(run),
        cause,
        follows=run,
        rung=run.rung,
        step=run.step,
    )
    completion.settle(session, keyring, {item.request_id for item in items}, cause)


def hold_still(session: Session, fence: Fence) -> tuple[Run, Model, ModelVersion]:
    """The fenced run with its model and base version, locked in the common order."""
    model_id = session.scalars(select(Run.model_id).where(Run.id == fence.run_id)).one()
    model = lock_model(session, model_id)
    assert model is not None
    run = fenced_run(session, fence)
    return run, model, session.get_one(ModelVersion, run.base_version_id, populate_existing=True)


def new_version(
    session: Session,
    model: Model,
    base: ModelVersion,
    run: Run,
    weights: Weights,
    state: VersionState,
    now: datetime,
) -> ModelVersion:
    # The same bytes may have been stored and destroyed before.
    note_stored(session, weights.sha256, size=weights.size, media_type=SAFETENSORS, now=now)
    highest = session.scalar(
        select(func.max(ModelVersion.number)).where(ModelVersion.model_id == model.id)
    )
    version = ModelVersion(
        model_id=model.id,
        number=(highest or 0) + 1,
        parent_id=base.id,
        lineage_id=base.lineage_id,
        artifact_sha256=weights.sha256,
        run_id=run.id,
        state=state,
        created_at=now,
    )
    session.add(version)
    session.flush()
    return version


def record(session: Session, run: Run, judged: Judged) -> None:
    """Figures before states: whoever sees the end of the run finds its report."""
    run.metrics, run.verdict, run.verdict_detail = judged.report, judged.verdict, judged.detail
    if judged.plots is not None:
        run.plots = judged.plots
    session.flush()


def _finish(
    session: Session,
    keyring: Keyring,
    run: Run,
    model: Model,
    base: ModelVersion,
    version: ModelVersion,
    judged: Judged,
    cause: Cause,
) -> None:
    forgotten = forming.forget_samples(session, run)
    base.state = VersionState.SUPERSEDED
    model.recheck_at = cause.now  # do earlier cases hold on the new version?
    session.flush()  # the index allows one active version at a time
    version.state, version.published_at = VersionState.ACTIVE, cause.now
    version.metrics = judged.report
    session.flush()
    session.execute(
        insert(UnlearnedSample),
        [
            {"model_id": model.id, "sample_id": sample, "run_id": run.id}
            for sample in sorted(forgotten)
        ],
    )
    log.append(
        session,
        kinds.VersionPublished(
            controller=controller_id(model.controller_id),
            model=model_id(model.id),
            version=version_id(version.id),
            number=version.number,
            parent=version_id(base.id),
            run=run_id(run.id),
            sha256=version.artifact_sha256,
            parent_sha256=base.artifact_sha256,
            forget_count=len(forgotten),
        ),
        now=cause.now,
    )
    move_run(
        session,
        run,
        RunState.SUCCEEDED,
        cause,
        controller=model.controller_id,
        candidate_version_id=version.id,
    )
    items = items_of(session, run)
    for item in items:
        move_item(
            session,
            item,
            ItemState.PUBLISHED,
            cause,
            controller=model.controller_id,
            numbers={**judged.persons[item.id], "outcome": judged.detail["outcome"]},
            published_at=cause.now,
        )
    completion.settle(session, keyring, {item.request_id for item in items}, cause)
