"""Who was given a version's weights, so that they can be told what became of it (GDPR Art. 19).

A recipient is whoever holds a key: keys that succeeded each other by rotation are one recipient.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.db import rows_changed
from app.ids import api_key_id, controller_id, model_id, version_id
from app.keys.tables import ApiKey
from app.registry.lookup import get_model
from app.registry.pull_tables import VersionPull
from app.registry.tables import ModelVersion, VersionState


class Pull(NamedTuple):
    pull: VersionPull
    key: ApiKey
    version: ModelVersion


def take_current(
    session: Session, model: UUID, *, controller: UUID, key: UUID, now: datetime
) -> ModelVersion | None:
    """The version that the model serves, with the pull of it recorded; None if it serves none.

    Whoever makes another version current writes to the row of the old one, which is held here: a
    pull is either recorded before that, and counted by what is then said of the old version, or it
    is of the new one.
    """
    get_model(session, model, controller=controller)
    served = (
        select(ModelVersion)
        .where(ModelVersion.model_id == model, ModelVersion.state == VersionState.ACTIVE)
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )
    # The first look finds nothing if it had to wait for the old one to be replaced.
    version = session.scalar(served) or session.scalar(served)
    if version is not None:
        _note(session, version, controller, key, now)
    return version


def _note(
    session: Session, version: ModelVersion, controller: UUID, key: UUID, now: datetime
) -> None:
    if _count_again(session, version.id, key, now):
        return
    fresh = VersionPull(
        version_id=version.id,
        key_id=key,
        controller_id=controller,
        first_at=now,
        last_at=now,
        count=1,
    )
    try:
        with session.begin_nested():
            session.add(fresh)
    except IntegrityError:  # the same key, twice at the same moment
        _count_again(session, version.id, key, now)
        return
    log.append(
        session,
        kinds.VersionPulled(
            controller=controller_id(controller),
            model=model_id(version.model_id),
            version=version_id(version.id),
            number=version.number,
            sha256=version.artifact_sha256,
            key=api_key_id(key),
        ),
        now=now,
    )


def _count_again(session: Session, version: UUID, key: UUID, now: datetime) -> bool:
    counted = session.execute(
        update(VersionPull)
        .where(VersionPull.version_id == version, VersionPull.key_id == key)
        .values(count=VersionPull.count + 1, last_at=now)
        .execution_options(synchronize_session=False)
    )
    return rows_changed(counted) == 1


def pulls_of(model: UUID) -> Select[VersionPull]:
    return (
        select(VersionPull)
        .join(ModelVersion, ModelVersion.id == VersionPull.version_id)
        .where(ModelVersion.model_id == model)
    )


def with_names(session: Session, pulls: Select[VersionPull]) -> list[Pull]:
    """Each with its key and its version."""
    rows = session.execute(
        pulls.join(ApiKey, ApiKey.id == VersionPull.key_id)
        .add_columns(ApiKey, ModelVersion)
        .order_by(VersionPull.id)
    )
    return [Pull(pull, key, version) for pull, key, version in rows]


def all_recorded(session: Session, versions: Collection[UUID]) -> bool:
    """Whether nobody can have pulled one of them without a record."""
    unrecorded = select(ModelVersion.id).where(
        ModelVersion.id.in_(versions), ModelVersion.pulls_recorded.is_(False)
    )
    return session.scalar(unrecorded.limit(1)) is None


def count_recipients(session: Session, versions: Collection[UUID]) -> int | None:
    """How many pulled one of these versions; None if that is not known of all of them."""
    if not all_recorded(session, versions):
        return None
    return session.scalars(
        select(func.count(ApiKey.holder_id.distinct()))
        .select_from(VersionPull)
        .join(ApiKey, ApiKey.id == VersionPull.key_id)
        .where(VersionPull.version_id.in_(versions))
    ).one()
