"""A worker's side of a registration: take it, keep it, end it. Each in a short transaction.

Whoever takes a registration holds it for a lease. A worker that died lets the lease run out; the
next one takes the registration again, with a higher attempt, and the dead one's writes then find no
row. What has taken its last attempt with it ends as invalid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select, true, update
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.db import rows_changed
from app.http.problems import Problem
from app.keys.tables import Controller
from app.registry import announcing
from app.registry.attempts import LAST_ATTEMPT, crashed
from app.registry.tables import Dataset, Model, ModelVersion, RegistrationState, VersionState


class LostRegistration(Exception):
    """The lease ran out and another worker holds the registration, or has ended it."""


@dataclass(frozen=True)
class DatasetCheck:
    dataset: Dataset
    attempt: int


@dataclass(frozen=True)
class VersionCheck:
    version: ModelVersion
    model: Model
    dataset: Dataset
    attempt: int


@dataclass(frozen=True)
class DatasetContent:
    """What reading the manifest showed."""

    input_shape: Sequence[int]
    pseudonym_key_id: str
    pseudonym_key_check: bytes
    split_counts: Mapping[str, int]
    suppressed_rows: int


def take_dataset(
    session: Session, *, now: datetime, lease: timedelta, controller: UUID | None = None
) -> DatasetCheck | None:
    """The oldest dataset (of one controller) that waits for a check, or None.

    Attempts after the last one are for removing what that left, and for ending the registration.
    """
    dataset = session.scalar(
        select(Dataset)
        .where(*free(Dataset, RegistrationState.CHECKING, now))
        .where(true() if controller is None else Dataset.controller_id == controller)
        .order_by(Dataset.id)
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
    )
    if dataset is None:
        return None
    dataset.check_attempts += 1
    dataset.check_lease_until = now + lease
    session.flush()
    return DatasetCheck(dataset, dataset.check_attempts)


def take_version(
    session: Session, *, now: datetime, lease: timedelta, controller: UUID | None = None
) -> VersionCheck | None:
    """The oldest version (of one controller) that waits for a check, or None."""
    models = select(Model.id).where(Model.controller_id == controller)
    while True:
        version = session.scalar(
            select(ModelVersion)
            .where(*free(ModelVersion, VersionState.CHECKING, now))
            .where(true() if controller is None else ModelVersion.model_id.in_(models))
            .order_by(ModelVersion.id)
            .limit(1)
            .with_for_update(skip_locked=True, key_share=True)
        )
        if version is None:
            return None
        model = session.get_one(Model, version.model_id)
        dataset = session.get_one(Dataset, model.dataset_id)
        if version.check_attempts < LAST_ATTEMPT:
            version.check_attempts += 1
            version.check_lease_until = now + lease
            session.flush()
            return VersionCheck(version, model, dataset, version.check_attempts)
        check = VersionCheck(version, model, dataset, version.check_attempts)
        end_version_invalid(session, check, crashed(), now=now)


def anything_waits(session: Session, *, now: datetime) -> bool:
    """Whether a registration could be taken; takes nothing."""
    return any(
        session.scalar(select(table.id).where(*free(table, checking, now)).limit(1)) is not None
        for table, checking in (
            (Dataset, RegistrationState.CHECKING),
            (ModelVersion, VersionState.CHECKING),
        )
    )


def keep(session: Session, check: DatasetCheck | VersionCheck, *, until: datetime) -> None:
    """Extends the lease of a check that takes long."""
    _write(session, check, check_lease_until=until)


def hold(session: Session, check: DatasetCheck) -> None:
    """Nobody else can take or end the registration until this transaction is over."""
    _write(session, check, check_attempts=check.attempt)


def is_current(session: Session, dataset: UUID, attempt: int) -> bool:
    """Whether no later attempt has taken the dataset's registration, and nobody has ended it."""
    row = session.get(Dataset, dataset)
    if row is None or row.state is not RegistrationState.CHECKING:
        return False
    return row.check_attempts == attempt


def end_dataset_ready(
    session: Session, check: DatasetCheck, content: DatasetContent, *, now: datetime
) -> None:
    _write(
        session,
        check,
        state=RegistrationState.READY,
        input_shape=list(content.input_shape),
        pseudonym_key_id=content.pseudonym_key_id,
        pseudonym_key_check=content.pseudonym_key_check,
        split_counts=dict(content.split_counts),
        suppressed_rows=content.suppressed_rows,
        ready_at=now,
        check_lease_until=None,
    )
    log.append(
        session,
        kinds.DatasetReady(
            controller=check.dataset.controller_id,
            dataset=check.dataset.id,
            row_count=sum(content.split_counts.values()),
            suppressed_rows=content.suppressed_rows,
        ),
        now=now,
    )
    announcing.dataset_checked(session, check.dataset, now=now)


def end_dataset_invalid(
    session: Session,
    check: DatasetCheck,
    problem: Problem,
    *,
    suppressed_rows: int | None = None,
    now: datetime,
) -> None:
    """`suppressed_rows`: how many there are, where they are the problem."""
    _write(
        session,
        check,
        state=RegistrationState.INVALID,
        problem=problem.document(),
        suppressed_rows=suppressed_rows,
        check_lease_until=None,
    )
    log.append(
        session,
        kinds.DatasetInvalid(
            controller=check.dataset.controller_id,
            dataset=check.dataset.id,
            problem=problem.code,
            suppressed_rows=suppressed_rows,
        ),
        now=now,
    )
    announcing.dataset_checked(session, check.dataset, problem=problem.code, now=now)


def end_version_ready(session: Session, check: VersionCheck, *, now: datetime) -> ModelVersion:
    """Makes the version the one that the model serves, unless a later one was faster: then it was
    never published, and no rollback goes back to it.

    First in its transaction: it waits for the requests that are being accepted, and for a run
    that is being published, which changes the active version too.
    """
    _hold_still(session, check.model)
    of_model = select(ModelVersion).where(ModelVersion.model_id == check.model.id)
    active = session.scalar(of_model.where(ModelVersion.state == VersionState.ACTIVE))
    outrun = active is not None and _trained_as(session, active) > check.version.number
    if active is not None and not outrun:
        active.state = VersionState.SUPERSEDED
        session.flush()  # at most one version of a model may be active, at every moment
    _write(
        session,
        check,
        state=VersionState.SUPERSEDED if outrun else VersionState.ACTIVE,
        published_at=None if outrun else now,
        check_lease_until=None,
    )
    log.append(
        session,
        kinds.VersionReady(
            controller=check.model.controller_id, model=check.model.id, version=check.version.id
        ),
        now=now,
    )
    announcing.version_checked(session, check.model, check.version, now=now)
    return session.get_one(ModelVersion, check.version.id, populate_existing=True)


def end_model_ready(session: Session, check: VersionCheck, *, now: datetime) -> Model | None:
    """The model, if this was the check of its first version; it can be unlearned from now on.

    After `end_version_ready`, in the same transaction.
    """
    model = session.get_one(Model, check.model.id)
    if model.state is not RegistrationState.CHECKING:
        return None
    model.state, model.ready_at = RegistrationState.READY, now
    session.flush()
    log.append(session, kinds.ModelReady(controller=model.controller_id, model=model.id), now=now)
    announcing.model_checked(session, model, now=now)
    return model


def end_version_invalid(
    session: Session, check: VersionCheck, problem: Problem, *, now: datetime
) -> None:
    """A model whose first version is invalid is invalid itself."""
    _write(
        session,
        check,
        state=VersionState.INVALID,
        problem=problem.document(),
        check_lease_until=None,
    )
    model = session.get_one(Model, check.model.id)
    log.append(
        session,
        kinds.VersionInvalid(
            controller=model.controller_id,
            model=model.id,
            version=check.version.id,
            problem=problem.code,
        ),
        now=now,
    )
    announcing.version_checked(session, model, check.version, problem=problem.code, now=now)
    if model.state is RegistrationState.CHECKING:
        model.state, model.problem = RegistrationState.INVALID, problem.document()
        log.append(
            session,
            kinds.ModelInvalid(
                controller=model.controller_id, model=model.id, problem=problem.code
            ),
            now=now,
        )
        announcing.model_checked(session, model, problem=problem.code, now=now)


def _hold_still(session: Session, model: Model) -> None:
    """A request holds its controller while it looks for models: one that began before has its items
    in the database now, a later one will see what becomes ready here. Whoever else changes what is
    current holds the model."""
    for table, identity in ((Controller, model.controller_id), (Model, model.id)):
        session.execute(
            select(table.id).where(table.id == identity).with_for_update(key_share=True)
        )


def free(
    table: type[Dataset] | type[ModelVersion], checking: StrEnum, now: datetime
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """What a registration fulfils that nobody holds."""
    lease = table.check_lease_until
    return table.state == checking, lease.is_(None) | (lease <= now)


def _write(session: Session, check: DatasetCheck | VersionCheck, **values: Any) -> None:
    """Writes only while this attempt holds the registration; LostRegistration otherwise."""
    table: type[Dataset] | type[ModelVersion]
    identity: UUID
    if isinstance(check, DatasetCheck):
        table, identity = Dataset, check.dataset.id
        checking: object = RegistrationState.CHECKING
    else:
        table, identity = ModelVersion, check.version.id
        checking = VersionState.CHECKING
    result = session.execute(
        update(table)
        .where(table.id == identity, table.state == checking)
        .where(table.check_attempts == check.attempt)
        .values(**values)
    )
    if rows_changed(result) != 1:
        raise LostRegistration()


def _trained_as(session: Session, version: ModelVersion) -> int:
    """Number of the version trained elsewhere from which this one descends."""
    return session.get_one(ModelVersion, version.lineage_id).number
