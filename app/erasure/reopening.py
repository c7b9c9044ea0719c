"""What was published and no longer holds waits again: the one place where a case is reopened.

Why, the cause's event says: a rollback, weights trained elsewhere, or a relapse.
"""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from app.erasure.states import ItemState, Reopening
from app.erasure.tables import ErasureItem
from app.erasure.transitions import Cause, move_item
from app.registry.tables import Model

# The third relapse of a case is for a person: what comes back twice comes back again.
MOST_RELAPSES = 3


def reopen(session: Session, model: Model, items: Iterable[ErasureItem], cause: Cause) -> None:
    """Published items, locked by the caller, who settles their requests afterwards."""
    reason = Reopening(cause.event)
    for item in items:
        relapses = item.relapses + (reason is Reopening.RELAPSED)
        waits_for_a_person = reason is Reopening.RELAPSED and relapses >= MOST_RELAPSES
        # A decision starts from the run that the item rested on.
        left = {} if waits_for_a_person else {"run_id": None, "numbers": None}
        move_item(
            session,
            item,
            ItemState.NEEDS_DECISION if waits_for_a_person else ItemState.SCHEDULED,
            cause,
            controller=model.controller_id,
            published_at=None,
            reopened_at=cause.now,
            reopened_for=reason,
            relapses=relapses,
            **left,
        )
