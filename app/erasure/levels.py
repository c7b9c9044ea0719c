"""How many runs were judged lately: with many of them, each has to be judged more strictly."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.erasure.tables import Run
from app.registry.tables import Model

WINDOW = timedelta(days=30)


def judged_runs(session: Session, controller_id: UUID, now: datetime) -> int:
    """Runs of this controller's models with a verdict that ended within the last 30 days."""
    counted = session.scalar(
        select(func.count())
        .select_from(Run)
        .join(Model, Model.id == Run.model_id)
        .where(
            Model.controller_id == controller_id,
            Run.verdict.is_not(None),
            Run.finished_at >= now - WINDOW,
        )
    )
    return counted or 0
