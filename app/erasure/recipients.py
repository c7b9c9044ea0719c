"""Who pulled weights that were trained on a person's samples (GDPR Art. 19)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure import reach
from app.erasure.closing_tables import KnowingVersion
from app.erasure.states import ItemState
from app.erasure.tables import ErasureItem, ErasureRequest
from app.registry import pulls
from app.registry.pull_tables import VersionPull
from app.registry.pulls import Pull
from app.registry.tables import Model, ModelVersion

_WITHOUT_ERASURE = (ItemState.CANCELLED, ItemState.REFUSED)


@dataclass
class Recipient:
    """A key and a model. `renewed_at` is when its holder last pulled weights that do not know the
    samples, if that was after the last pull of weights that do."""

    model: UUID
    model_name: str
    key: UUID
    name: str
    numbers: list[int]
    first_at: datetime
    last_at: datetime
    renewed_at: datetime | None


@dataclass(frozen=True)
class CaseRecipients:
    """`complete`: no pull can be missing."""

    recipients: list[Recipient]
    complete: bool


def keep_versions(session: Session, request: ErasureRequest) -> None:
    """Before the case's links are cut: without them nobody could tell which versions knew the
    samples."""
    for item in _items(session, request):
        session.add_all(
            KnowingVersion(request_id=request.id, version_id=version.id)
            for version in reach.versions_that_know(session, item)
        )
    session.flush()


def of_case(session: Session, request: ErasureRequest) -> CaseRecipients:
    items = _items(session, request)
    knowing = _versions(session, request, items)
    models = select(Model).where(Model.id.in_({item.model_id for item in items}))
    names = {model.id: model.name for model in session.scalars(models)}
    every = select(VersionPull).join(ModelVersion, ModelVersion.id == VersionPull.version_id)
    found = pulls.with_names(session, every.where(ModelVersion.model_id.in_(names)))
    known = [one for one in found if one.version.id in knowing]
    last: dict[tuple[UUID, UUID], datetime] = {}
    for one in known:
        last[_holder(one)] = max(one.pull.last_at, last.get(_holder(one), one.pull.last_at))
    renewed: dict[tuple[UUID, UUID], datetime] = {}
    for one in found:
        if one.version.id in knowing or one.version.taken_back_at is not None:
            continue
        if one.pull.last_at > last.get(_holder(one), one.pull.last_at):
            renewed[_holder(one)] = max(
                one.pull.last_at, renewed.get(_holder(one), one.pull.last_at)
            )
    return CaseRecipients(
        recipients=_grouped(known, names, renewed),
        # A case that was closed before anything was recorded has kept no versions.
        complete=pulls.all_recorded(session, knowing) and (bool(knowing) or not items),
    )


def _items(session: Session, request: ErasureRequest) -> list[ErasureItem]:
    return list(
        session.scalars(
            select(ErasureItem)
            .where(
                ErasureItem.request_id == request.id,
                ErasureItem.state.not_in(_WITHOUT_ERASURE),
            )
            .order_by(ErasureItem.id)
        )
    )


def _versions(
    session: Session, request: ErasureRequest, items: Collection[ErasureItem]
) -> set[UUID]:
    if request.closed_at is not None:
        kept = select(KnowingVersion.version_id).where(KnowingVersion.request_id == request.id)
        return set(session.scalars(kept))
    return {version.id for item in items for version in reach.versions_that_know(session, item)}


def _holder(one: Pull) -> tuple[UUID, UUID]:
    return one.version.model_id, one.key.holder_id


def _grouped(
    known: Collection[Pull],
    names: dict[UUID, str],
    renewed: dict[tuple[UUID, UUID], datetime],
) -> list[Recipient]:
    by_key: dict[tuple[UUID, UUID], Recipient] = {}
    for one in known:
        model, key, pull = one.version.model_id, one.key, one.pull
        row = by_key.get((model, key.id))
        if row is None:
            by_key[model, key.id] = Recipient(
                model=model,
                model_name=names[model],
                key=key.id,
                name=key.name,
                numbers=[one.version.number],
                first_at=pull.first_at,
                last_at=pull.last_at,
                renewed_at=renewed.get(_holder(one)),
            )
        else:
            row.numbers = sorted([*row.numbers, one.version.number])
            row.first_at = min(row.first_at, pull.first_at)
            row.last_at = max(row.last_at, pull.last_at)
    return list(by_key.values())
