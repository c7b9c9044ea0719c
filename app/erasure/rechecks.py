"""Which cases nobody has compared yet on a model's current version. Reads only.

A version's answers never change, so a case is compared once on each version, with the version that
closed it. `Model.recheck_at` says when to look; what there is to do, only the rows say.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from app.erasure.queue import Candidate
from app.erasure.recheck_tables import LIVE, Recheck, RecheckCase, RecheckState
from app.erasure.states import WITHDRAWN, ItemState
from app.erasure.tables import ErasureItem, ErasureRequest
from app.erasure.window import window_of_items
from app.registry.tables import Model, ModelVersion, VersionState
from app.restore.service import is_paused

# A re-check counts as due so long after it was called for: runs that are due earlier go first, and
# no number of later ones can keep it waiting.
PATIENCE = timedelta(days=1)
# How long after its window a case stays open for want of an answer.
LONGEST_WAIT = timedelta(days=2)

_Active, _Rested = aliased(ModelVersion), aliased(ModelVersion)


class Open(NamedTuple):
    """A published item and the version that it rests on."""

    item: UUID
    closing_version: UUID


def candidates(session: Session, *, now: datetime) -> list[Candidate]:
    """Models to look at, those first that wait longest; none while the service is paused."""
    if is_paused(session):
        return []
    taken = exists().where(
        Recheck.model_id == Model.id,
        or_(
            Recheck.state == RecheckState.RUNNING,
            and_(Recheck.state == RecheckState.QUEUED, Recheck.not_before > now),
        ),
    )
    rows = session.execute(
        select(Model.id, Model.recheck_at)
        .where(Model.recheck_at <= now, ~taken)
        .order_by(Model.recheck_at, Model.id)
    )
    return [Candidate(model, at + PATIENCE) for model, at in rows if at is not None]


def due(session: Session, model: Model, *, now: datetime, retry_after: timedelta) -> Sequence[Open]:
    """The model's open cases without an answer on its current version; not those whose last try
    failed less than `retry_after` ago."""
    failed = exists().where(
        *_asked_on_the_current_version(),
        Recheck.state == RecheckState.FAILED,
        Recheck.finished_at > now - retry_after,
    )
    found = session.execute(
        _unanswered().where(ErasureItem.model_id == model.id, ~failed).order_by(ErasureItem.id)
    )
    return [Open(item, version) for item, version in found]


def has_open_cases(session: Session, model: UUID) -> bool:
    found = _published().where(ErasureItem.model_id == model)
    return session.scalar(found.limit(1)) is not None


def last_look(session: Session, version: ModelVersion) -> datetime:
    """When the version was compared last, or became what it is."""
    ended = session.scalar(
        select(func.max(Recheck.finished_at)).where(
            Recheck.version_id == version.id,
            Recheck.state.in_([RecheckState.DONE, RecheckState.FAILED]),
        )
    )
    since = version.published_at or version.created_at
    return max(since, ended) if ended is not None else since


def without_an_answer(session: Session, request: ErasureRequest) -> set[UUID]:
    """The models on whose current version the case has not been compared, or not to the end."""
    found = session.execute(_unanswered().where(ErasureItem.request_id == request.id))
    items = [item for item, _ in found]
    return set(session.scalars(select(ErasureItem.model_id).where(ErasureItem.id.in_(items))))


def may_wait(session: Session, request: ErasureRequest, now: datetime) -> bool:
    """Whether its closing can still be put off for an answer."""
    assert request.completed_at is not None, "what closes has completed"
    window = window_of_items(session, request.id)
    return now < request.completed_at + window + LONGEST_WAIT


def live(session: Session, model: UUID) -> Recheck | None:
    """The model's re-check in progress, locked. The caller holds the model."""
    return session.scalar(
        select(Recheck)
        .where(Recheck.model_id == model, Recheck.state.in_(LIVE))
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _published() -> Select[UUID]:
    return (
        select(ErasureItem.id)
        .join(ErasureRequest, ErasureRequest.id == ErasureItem.request_id)
        .where(
            ErasureItem.state == ItemState.PUBLISHED,
            ErasureRequest.closed_at.is_(None),
            ErasureRequest.state.not_in(WITHDRAWN),
        )
    )


def _asked_on_the_current_version() -> tuple[Any, ...]:
    return (
        RecheckCase.item_id == ErasureItem.id,
        RecheckCase.closing_version_id == _Rested.id,
        Recheck.id == RecheckCase.recheck_id,
        Recheck.version_id == _Active.id,
    )


def _unanswered() -> Select[UUID, UUID]:
    answered = exists().where(*_asked_on_the_current_version(), Recheck.state == RecheckState.DONE)
    return (
        _published()
        .join(
            _Active,
            and_(_Active.model_id == ErasureItem.model_id, _Active.state == VersionState.ACTIVE),
        )
        .join(_Rested, _Rested.run_id == ErasureItem.run_id)
        .where(
            _Rested.id != _Active.id,
            _Rested.lineage_id == _Active.lineage_id,
            _Rested.taken_back_at.is_(None),
            ~answered,
        )
        .add_columns(_Rested.id)
    )
