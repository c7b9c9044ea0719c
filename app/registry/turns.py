"""Whose registration is read next. One process reads one upload after the other, and an upload may
take minutes: so controllers take turns, and whoever sends many waits for himself alone."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.registry.checks import DatasetCheck, VersionCheck, free, take_dataset, take_version
from app.registry.tables import Dataset, Model, ModelVersion, RegistrationState, VersionState


class Turns:
    """Remembers who was served, for as long as the process has something to read."""

    def __init__(self) -> None:
        self._served: dict[UUID, int] = {}

    def take(
        self, session: Session, *, now: datetime, lease: timedelta
    ) -> DatasetCheck | VersionCheck | None:
        """A registration of the controller that was served longest ago: its oldest dataset or, if
        none waits, its oldest version. None if nothing waits."""
        oldest = _oldest(session, now)
        for controller in sorted(oldest, key=lambda one: (self._served.get(one, 0), oldest[one])):
            check = take_dataset(
                session, now=now, lease=lease, controller=controller
            ) or take_version(session, now=now, lease=lease, controller=controller)
            if check is not None:
                self._served[controller] = max(self._served.values(), default=0) + 1
                return check
        return None


def _oldest(session: Session, now: datetime) -> dict[UUID, datetime]:
    """When the oldest registration of each controller was made, of those that can be taken."""
    datasets = (
        select(Dataset.controller_id, func.min(Dataset.created_at))
        .where(*free(Dataset, RegistrationState.CHECKING, now))
        .group_by(Dataset.controller_id)
    )
    versions = (
        select(Model.controller_id, func.min(ModelVersion.created_at))
        .join(ModelVersion, ModelVersion.model_id == Model.id)
        .where(*free(ModelVersion, VersionState.CHECKING, now))
        .group_by(Model.controller_id)
    )
    oldest: dict[UUID, datetime] = {}
    for query in (datasets, versions):
        for controller, made in session.execute(query):
            oldest[controller] = min(made, oldest.get(controller, made))
    return oldest
