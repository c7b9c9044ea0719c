"""Cancelling a request: its items end, and a run that held one of them starts again without it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure import completion, forming
from app.erasure.locks import items_of, lock_items, lock_model, lock_requests
from app.erasure.states import ITEM, LIVE_RUN, ItemState, RequestState, RunState
from app.erasure.tables import ErasureItem, ErasureRequest, Run
from app.erasure.transitions import (
    Cause,
    ChangedMeanwhile,
    Event,
    move_item,
    move_request,
    move_run,
)
from app.http.problems import Problem
from app.keyring import Keyring
from app.registry.tables import Model


class PartiallyPublished(Problem):
    status = 409
    code = "partially-published"
    title = "Too late to cancel"


def cancel(
    session: Session, keyring: Keyring, request: ErasureRequest, *, actor: str, now: datetime
) -> None:
    """Ends every item. A repeated cancel changes nothing; after a publication it is refused."""
    if request.state is RequestState.CANCELLED:
        return
    cause = Cause(Event.REQUEST_CANCELLED, actor, now)
    held = _items_of(session, request.id)
    for model in sorted({item.model_id for item in held}):
        lock_model(session, model)
    runs = _lock_runs(session, {item.run_id for item in held if item.run_id})
    items = lock_items(session, [item.id for item in held])
    (request,) = lock_requests(session, [request.id])
    if request.state is RequestState.CANCELLED:  # another cancel was faster
        return
    if {item.run_id for item in items if item.run_id} - runs.keys():
        raise ChangedMeanwhile("A worker took the request at this moment; try again.")
    if len(_items_of(session, request.id)) > len(items):
        raise ChangedMeanwhile("The request took in a new model at this moment; try again.")
    if any(item.state is ItemState.PUBLISHED for item in items):
        raise PartiallyPublished(
            "A model version without these samples has been published already. "
            "What can be taken back is the version, not the request."
        )
    for item in items:
        if not ITEM[item.state].ends:
            move_item(session, item, ItemState.CANCELLED, cause, controller=request.controller_id)
    move_request(session, request, RequestState.CANCELLED, cause)
    for run in runs.values():
        if run.state in LIVE_RUN:
            _regroup(session, keyring, run, cause)


def _regroup(session: Session, keyring: Keyring, run: Run, cause: Cause) -> None:
    """Ends a live run and queues another with the items that are left of it."""
    model = session.get_one(Model, run.model_id)
    move_run(session, run, RunState.SUPERSEDED, cause, controller=model.controller_id)
    regrouped = Cause(Event.REGROUPED, cause.actor, cause.now)
    left = [item for item in items_of(session, run) if not ITEM[item.state].ends]
    for item in left:
        if item.state is ItemState.RUNNING:
            move_item(session, item, ItemState.SCHEDULED, regrouped, controller=model.controller_id)
    if left:
        forming.form_run(
            session,
            model,
            left,
            forming.recipe_again(run),
            regrouped,
            follows=run,
            rung=run.rung,
            step=run.step,
        )
    completion.settle(session, keyring, {item.request_id for item in left}, regrouped)


def _items_of(session: Session, request: UUID) -> list[ErasureItem]:
    return list(session.scalars(select(ErasureItem).where(ErasureItem.request_id == request)))


def _lock_runs(session: Session, ids: set[UUID]) -> dict[UUID, Run]:
    runs = session.scalars(
        select(Run)
        .where(Run.id.in_(ids))
        .order_by(Run.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {run.id: run for run in runs}
