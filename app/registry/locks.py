"""The model's row, locked by whoever changes what belongs to it: its runs, its current version, and
the numbers of its versions."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.registry.tables import Model


def lock_model(session: Session, model: UUID, *, skip_locked: bool = False) -> Model | None:
    """None only if it is locked and `skip_locked`. Leaves room for rows that refer to the model:
    a plain lock would hold up every new item."""
    return session.scalar(
        select(Model)
        .where(Model.id == model)
        .with_for_update(key_share=True, skip_locked=skip_locked)
        .execution_options(populate_existing=True)
    )
