"""What was published and no longer holds waits again: a rollback, or weights trained elsewhere."""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from app.erasure.states import ItemState
from app.erasure.tables import ErasureItem
from app.erasure.transitions import Cause, move_item
from app.registry.tables import Model


def reopen(session: Session, model: Model, items: Iterable[ErasureItem], cause: Cause) -> None:
    """Published items, locked by the caller, who settles their requests afterwards."""
    for item in items:
        move_item(
            session,
            item,
            ItemState.SCHEDULED,
            cause,
            controller=model.controller_id,
            run_id=None,
            numbers=None,
            published_at=None,
        )
