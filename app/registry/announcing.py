"""What receivers of callbacks are told about registrations."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.ids import dataset_id, model_id, version_id
from app.registry.tables import Dataset, Model, ModelVersion
from app.webhooks.events import EventType
from app.webhooks.telling import emit


def dataset_checked(
    session: Session, dataset: Dataset, *, problem: str | None = None, now: datetime
) -> None:
    event = EventType.DATASET_INVALID if problem else EventType.DATASET_READY
    facts = {"id": dataset_id(dataset.id), "problem": problem}
    emit(session, dataset.controller_id, event, facts, now=now)


def model_checked(
    session: Session, model: Model, *, problem: str | None = None, now: datetime
) -> None:
    event = EventType.MODEL_INVALID if problem else EventType.MODEL_READY
    facts = {"id": model_id(model.id), "problem": problem}
    emit(session, model.controller_id, event, facts, now=now)


def version_checked(
    session: Session,
    model: Model,
    version: ModelVersion,
    *,
    problem: str | None = None,
    now: datetime,
) -> None:
    event = EventType.VERSION_INVALID if problem else EventType.VERSION_READY
    facts = {
        "id": version_id(version.id),
        "model": model_id(model.id),
        "number": version.number,
        "problem": problem,
    }
    emit(session, model.controller_id, event, facts, now=now)
