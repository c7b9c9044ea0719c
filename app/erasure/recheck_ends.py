"""The end of a re-check: its figures, what they mean for the cases, and the entry in the log."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure import forming, relapsing
from app.erasure.locks import LeaseLost
from app.erasure.recheck_tables import Recheck, RecheckCase, RecheckState, Skipped
from app.erasure.tables import ErrorClass
from app.ids import controller_id, model_id, recheck_id, version_id
from app.keyring import Keyring
from app.observability import fields
from app.registry.locks import lock_model
from app.registry.tables import Model, ModelVersion
from app.restore.service import is_paused

logger = logging.getLogger("lotus.rechecks")


@dataclass(frozen=True)
class RecheckFence:
    """What a worker proves with every write: this re-check, this attempt."""

    recheck_id: UUID
    attempt: int

    @property
    def identity(self) -> UUID:
        return self.recheck_id


@dataclass(frozen=True)
class Pooled:
    """All compared cases of the model together; `difference` is the paired change of the AUC."""

    difference: float
    standard_error: float
    lower_99: float
    alarm: bool
    cases: int
    samples: int
    unseen: int


@dataclass(frozen=True)
class Compared:
    """One case. p and q only if all together raised the alarm."""

    samples: int
    change: float
    standard_error: float
    p_value: float | None
    q: float | None
    relapsed: bool


@dataclass(frozen=True)
class Found:
    """Each case of the re-check, by its item, is either compared or skipped."""

    pooled: Pooled | None
    compared: Mapping[UUID, Compared]
    skipped: Mapping[UUID, Skipped]


def held_still(session: Session, fence: RecheckFence) -> tuple[Model, Recheck]:
    """The fenced re-check with its model, locked in the common order."""
    owner = session.scalars(select(Recheck.model_id).where(Recheck.id == fence.recheck_id)).one()
    model = lock_model(session, owner)
    assert model is not None
    recheck = session.scalar(
        select(Recheck)
        .where(
            Recheck.id == fence.recheck_id,
            Recheck.attempt == fence.attempt,
            Recheck.state == RecheckState.RUNNING,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if recheck is None:
        raise LeaseLost
    return model, recheck


def finish(
    session: Session,
    keyring: Keyring,
    fence: RecheckFence,
    found: Found,
    *,
    actor: str,
    now: datetime,
) -> RecheckState:
    """Writes the figures and reopens what relapsed.

    A later version in the meantime changes nothing: what relapsed is unlearned again from that one,
    and what held is asked again. A version that was taken back is nobody's any more. Nothing is
    held against a case while the service is paused: then it is all computed again.
    """
    model, recheck = held_still(session, fence)
    if is_paused(session):
        recheck.state, recheck.lease_until = RecheckState.QUEUED, None
        return recheck.state
    cases = _write_down(session, recheck, found)
    if not _stands(session, recheck):
        supersede(session, model, recheck, now=now)
        return recheck.state
    back = [one for one in cases if (seen := found.compared.get(one.item_id)) and seen.relapsed]
    items = relapsing.relapse(session, keyring, model, recheck, back, actor=actor, now=now)
    for case in back:  # whoever left meanwhile has not relapsed
        case.relapsed = case.item_id in items
    recheck.relapsed_count = len(items)
    _end(session, model, recheck, RecheckState.DONE, now)
    return recheck.state


def supersede(session: Session, model: Model, recheck: Recheck, *, now: datetime) -> None:
    """Its version is not the one to ask about any more. The caller holds the model and the row."""
    _end(session, model, recheck, RecheckState.SUPERSEDED, now)


def fail(
    session: Session,
    model: Model,
    recheck: Recheck,
    error_class: ErrorClass,
    detail: str,
    *,
    now: datetime,
) -> None:
    """Its cases have no answer on this version; they are asked again after `recheck_days`."""
    recheck.error_class, recheck.error_detail = error_class, detail
    _end(session, model, recheck, RecheckState.FAILED, now)


def _write_down(session: Session, recheck: Recheck, found: Found) -> Sequence[RecheckCase]:
    cases = session.scalars(select(RecheckCase).where(RecheckCase.recheck_id == recheck.id)).all()
    for case in cases:
        compared = found.compared.get(case.item_id)
        if compared is None:
            case.skipped = found.skipped[case.item_id]
            continue
        case.samples, case.change = compared.samples, compared.change
        case.standard_error = compared.standard_error
        case.p_value, case.q = compared.p_value, compared.q
    recheck.pooled = asdict(found.pooled) if found.pooled else None
    session.flush()
    return cases


def _stands(session: Session, recheck: Recheck) -> bool:
    version = session.get_one(ModelVersion, recheck.version_id, populate_existing=True)
    current = forming.active_version(session, recheck.model_id)
    return version.taken_back_at is None and version.lineage_id == current.lineage_id


def _end(
    session: Session, model: Model, recheck: Recheck, state: RecheckState, now: datetime
) -> None:
    recheck.state, recheck.lease_until, recheck.finished_at = state, None, now
    session.flush()
    cases = session.scalars(select(RecheckCase).where(RecheckCase.recheck_id == recheck.id)).all()
    version = session.get_one(ModelVersion, recheck.version_id)
    pooled = recheck.pooled or {}
    log.append(
        session,
        kinds.RecheckFinished(
            controller=controller_id(model.controller_id),
            model=model_id(model.id),
            recheck=recheck_id(recheck.id),
            version=version_id(version.id),
            sha256=version.artifact_sha256,
            trigger=recheck.trigger,
            state=state,
            case_count=recheck.case_count,
            skipped_count=sum(case.skipped is not None for case in cases),
            difference=pooled.get("difference"),
            standard_error=pooled.get("standard_error"),
            lower_99=pooled.get("lower_99"),
            alarm=pooled.get("alarm"),
            relapsed_count=recheck.relapsed_count,
            error_class=recheck.error_class if state is RecheckState.FAILED else None,
        ),
        now=now,
    )
    told = fields(recheck=recheck.id, state=state, relapsed=recheck.relapsed_count)
    bad = state is RecheckState.FAILED or recheck.relapsed_count
    (logger.warning if bad else logger.info)("re-check ended", extra=told)
