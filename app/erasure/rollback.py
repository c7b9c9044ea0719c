"""Taking versions back: an earlier version is current again, and what the later ones unlearned has
to be unlearned once more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from app.audit import kinds, log
from app.erasure import completion, publishing
from app.erasure.closing_tables import Rollback
from app.erasure.locks import items_of, lock_items, lock_model, lock_requests
from app.erasure.reopening import reopen
from app.erasure.states import LIVE_RUN, WITHDRAWN, ItemState
from app.erasure.tables import ErasureItem, ErasureRequest, Run
from app.erasure.transitions import Cause, Event
from app.http.problems import Conflict, Unavailable
from app.ids import controller_id, model_id, version_id
from app.keyring import Keyring
from app.registry import lookup
from app.registry.lookup import UnknownVersion
from app.registry.policy import Policy
from app.registry.service import ModelNotReady
from app.registry.tables import Model, ModelVersion, VersionState
from app.storage import ArtifactStore

_Standing = aliased(ModelVersion)


class NoEarlierVersion(Conflict):
    code = "no-earlier-version"
    title = "There is no version to go back to"


class VersionDestroyed(Conflict):
    code = "version-destroyed"
    title = "The version can no longer be used"


class VersionNotEarlier(Conflict):
    code = "version-not-earlier"
    title = "The model cannot go back to this version"


class RollbackWindowOver(Conflict):
    code = "rollback-window-over"
    title = "Too late to go back"


class CaseClosed(Conflict):
    code = "case-closed"
    title = "A closed case cannot be reopened"


@dataclass(frozen=True)
class Wanted:
    """`version` None: the parent of the current one."""

    model: UUID
    version: UUID | None
    reason: str


def roll_back(
    session: Session,
    keyring: Keyring,
    store: ArtifactStore,
    wanted: Wanted,
    *,
    controller: UUID,
    actor: str,
    now: datetime,
) -> Rollback:
    """Makes the version current again, and schedules anew every item that rested on a later one.

    Naming a version that a rollback has just made current changes nothing. Without a name every
    call goes one version further back.
    """
    if lookup.get_model(session, wanted.model, controller=controller).state != "ready":
        raise ModelNotReady("Wait until the model is `ready`.")
    model = lock_model(session, wanted.model)
    assert model is not None
    versions = _versions(session, model)
    active = next(one for one in versions if one.state is VersionState.ACTIVE)
    if wanted.version == active.id and (repeated := _latest(session, active)) is not None:
        return repeated
    target = _target(versions, active, wanted.version)
    order = _order(versions)
    taken = [one for one in versions if order(one) > order(target) and _was_current(one)]
    _check_window(model, taken, now)
    if not store.exists(target.artifact_sha256):
        raise Unavailable("The version's file is not in the store.")
    items = _resting_on(session, active, target, taken)
    _check_open(session, items)
    _take_back(session, model, target, taken, len(items), actor, now)
    reopened = _reopen(session, keyring, model, items, Cause(Event.ROLLED_BACK, actor, now))
    done = Rollback(
        model_id=model.id,
        from_version_id=active.id,
        to_version_id=target.id,
        taken_back=[version.number for version in taken],
        reopened=reopened,
        reason=wanted.reason,
        created_at=now,
    )
    session.add(done)
    session.flush()
    return done


def _versions(session: Session, model: Model) -> Sequence[ModelVersion]:
    return session.scalars(
        select(ModelVersion)
        .where(ModelVersion.model_id == model.id)
        .order_by(ModelVersion.number)
        .execution_options(populate_existing=True)
    ).all()


def _latest(session: Session, active: ModelVersion) -> Rollback | None:
    """The rollback that made the version current, if one did."""
    return session.scalar(
        select(Rollback)
        .where(Rollback.to_version_id == active.id)
        .order_by(Rollback.id.desc())
        .limit(1)
    )


def _target(
    versions: Sequence[ModelVersion], active: ModelVersion, named: UUID | None
) -> ModelVersion:
    if named is None and active.parent_id is None:
        raise NoEarlierVersion("The current version was trained elsewhere; name another version.")
    wanted = named or active.parent_id
    target = next((one for one in versions if one.id == wanted), None)
    if target is None:
        raise UnknownVersion("This model has no version of this id.")
    if target.state is VersionState.DESTROYED:
        raise VersionDestroyed("They held samples of a case that has been closed since.")
    order = _order(versions)
    if not (_was_current(target) and order(target) < order(active)):
        raise VersionNotEarlier(
            "Only a version that was current before the present one can become current again, and "
            "only if no rollback has taken it back."
        )
    return target


def _was_current(version: ModelVersion) -> bool:
    """Now or before, and not taken back."""
    current = version.state in (VersionState.ACTIVE, VersionState.SUPERSEDED)
    return current and version.published_at is not None and version.taken_back_at is None


def _order(versions: Sequence[ModelVersion]) -> Callable[[ModelVersion], tuple[int, int]]:
    """The order in which those that were current became so; no machine's clock has a say in it.

    A lineage follows only lineages that were registered before it, and a version of a run has a
    higher number than its parent. Numbers alone would not do: a run's version may be numbered
    while a version trained elsewhere, with a lower number, is still being read.
    """
    begun = {version.id: version.number for version in versions}
    return lambda version: (begun[version.lineage_id], version.number)


def _check_window(model: Model, taken: Sequence[ModelVersion], now: datetime) -> None:
    days = Policy.model_validate(model.policy).rollback_days
    since = min(version.published_at or version.created_at for version in taken)
    if since + timedelta(days=days) <= now:
        raise RollbackWindowOver(
            f"A version of this model can be taken back for {days} days after its publication."
        )


def _resting_on(
    session: Session, active: ModelVersion, target: ModelVersion, taken: Sequence[ModelVersion]
) -> Sequence[ErasureItem]:
    """Published items whose run stands in the current version, and not in the target; none of a
    request that was refused since."""
    run = exists().where(_Standing.run_id == ErasureItem.run_id, _Standing.taken_back_at.is_(None))
    now = run.where(_Standing.lineage_id == active.lineage_id)
    then = run.where(
        _Standing.lineage_id == target.lineage_id,
        _Standing.id.not_in([version.id for version in taken]),
    )
    return session.scalars(
        select(ErasureItem)
        .join(ErasureRequest, ErasureRequest.id == ErasureItem.request_id)
        .where(
            ErasureItem.model_id == active.model_id,
            ErasureItem.state == ItemState.PUBLISHED,
            ErasureRequest.state.not_in(WITHDRAWN),
            now,
            ~then,
        )
    ).all()


def _check_open(session: Session, items: Sequence[ErasureItem]) -> None:
    """The model is held, and whoever closes a case holds the models of its items."""
    requests = [item.request_id for item in items]
    closed = exists().where(ErasureRequest.id.in_(requests), ErasureRequest.closed_at.is_not(None))
    if session.scalar(select(closed)):
        raise CaseClosed(
            "A later version was published for a case that is closed by now: its rows are gone, "
            "and could not be unlearned again."
        )


def _take_back(
    session: Session,
    model: Model,
    target: ModelVersion,
    taken: Sequence[ModelVersion],
    reopened: int,
    actor: str,
    now: datetime,
) -> None:
    for version in taken:
        version.state, version.taken_back_at = VersionState.SUPERSEDED, now
    model.recheck_at = now
    session.flush()  # the index allows one active version at a time
    target.state = VersionState.ACTIVE
    session.flush()
    log.append(
        session,
        kinds.VersionRestored(
            controller=controller_id(model.controller_id),
            model=model_id(model.id),
            version=version_id(target.id),
            sha256=target.artifact_sha256,
            taken_back=[version_id(version.id) for version in taken],
            reopened=reopened,
            actor=actor,
        ),
        now=now,
    )


def _reopen(
    session: Session,
    keyring: Keyring,
    model: Model,
    resting: Sequence[ErasureItem],
    cause: Cause,
) -> int:
    """The items wait again, and a live run starts again on what is current now. Returns how many
    requests were reopened."""
    live = session.scalar(
        select(Run)
        .where(Run.model_id == model.id, Run.state.in_(LIVE_RUN))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    working = items_of(session, live) if live is not None else []
    ids = {item.id for item in resting}
    items = [one for one in lock_items(session, ids | {one.id for one in working}) if one.id in ids]
    reopened = {item.request_id for item in items}
    lock_requests(session, reopened | {item.request_id for item in working})
    reopen(session, model, items, cause)
    if live is not None:
        publishing.start_again_on_new_base(
            session, keyring, live, model, actor=cause.actor, now=cause.now
        )
    completion.settle(session, keyring, reopened, cause)
    return len(reopened)
