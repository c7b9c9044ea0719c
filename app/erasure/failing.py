"""The end of a run that failed: what becomes of its items.

One item's fault must not fail the others. Where the fault tells which item it is, that one fails
and the others go on in a new run. Where it may be any of them, the run is taken apart: each half
runs again by itself, so that after a few halvings what was at fault is alone and fails alone. A run
of n items leads to at most 2n - 1 runs, and the model's pause spaces them out.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from app.erasure import breaker, completion
from app.erasure.locks import items_of
from app.erasure.states import ItemState, RunState
from app.erasure.tables import ErasureItem, ErrorClass, Run
from app.erasure.transitions import Cause, Event, move_item, move_run
from app.keyring import Keyring
from app.registry.tables import Model


@dataclass(frozen=True)
class Fault:
    """Why a run failed. `apart`: it may be the doing of one item, and nothing says which.
    `blamed`: the items whose doing it is."""

    error_class: ErrorClass
    detail: str
    apart: bool = False
    blamed: frozenset[UUID] = frozenset()


def fail_run(
    session: Session, keyring: Keyring, model: Model, run: Run, fault: Fault, cause: Cause
) -> None:
    """The caller holds the model's lock and the run's."""
    move_run(
        session,
        run,
        RunState.FAILED,
        cause,
        controller=model.controller_id,
        error_class=fault.error_class,
        error_detail=fault.detail,
    )
    breaker.count_failure(session, model, run, fault.error_class, cause)
    items = items_of(session, run)
    failed = _failed(items, fault)
    apart = Cause(Event.TAKEN_APART, cause.actor, cause.now)
    for item in items:
        if item.id in failed:
            move_item(
                session,
                item,
                ItemState.FAILED,
                cause,
                controller=model.controller_id,
                error_class=fault.error_class,
            )
        else:
            move_item(session, item, ItemState.SCHEDULED, apart, controller=model.controller_id)
    completion.settle(session, keyring, {item.request_id for item in items}, cause)


def _failed(items: list[ErasureItem], fault: Fault) -> set[UUID]:
    every = {item.id for item in items}
    if fault.blamed & every:
        return set(fault.blamed & every)
    return set() if fault.apart and len(items) > 1 else every
