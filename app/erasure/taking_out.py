"""Taking one request out of the runs that hold it: the others of a run go on without it."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure import completion, forming
from app.erasure.locks import items_of, lock_items, lock_requests
from app.erasure.states import ITEM, LIVE_RUN, ItemState, RunState
from app.erasure.tables import ErasureItem, ErasureRequest, Run
from app.erasure.transitions import Cause, ChangedMeanwhile, Event, move_item, move_run
from app.http.problems import Problem
from app.keyring import Keyring
from app.registry.locks import lock_model
from app.registry.tables import Model


class PartiallyPublished(Problem):
    status = 409
    code = "partially-published"
    title = "Too late: a part is published"


@dataclass(frozen=True)
class Case:
    """A request with its items and their runs, all locked."""

    request: ErasureRequest
    items: list[ErasureItem]
    runs: list[Run]

    def open_items(self) -> list[ErasureItem]:
        return [item for item in self.items if not ITEM[item.state].ends]

    def check_unpublished(self) -> None:
        if any(item.state is ItemState.PUBLISHED for item in self.items):
            raise PartiallyPublished(
                "A model version without these samples has been published already. "
                "What can be taken back is the version, not the request."
            )


def lock_case(session: Session, request: ErasureRequest) -> Case:
    """In the common order. The caller looks at the request's state, then at whether the case still
    is what was found before the locks (`check_still`)."""
    found = _items_of(session, request.id)
    for model in sorted({item.model_id for item in found}):
        lock_model(session, model)
    runs = _lock_runs(session, {item.run_id for item in found if item.run_id})
    items = lock_items(session, [item.id for item in found])
    (request,) = lock_requests(session, [request.id])
    return Case(request, items, runs)


def check_still(session: Session, case: Case) -> None:
    """Nothing came to the case while its locks were waited for."""
    if {item.run_id for item in case.items if item.run_id} - {run.id for run in case.runs}:
        raise ChangedMeanwhile("A worker took the request at this moment; try again.")
    if len(_items_of(session, case.request.id)) > len(case.items):
        raise ChangedMeanwhile("The request took in a new model at this moment; try again.")


def go_on_without(session: Session, keyring: Keyring, case: Case, cause: Cause) -> None:
    """Ends the case's live runs, and queues for each another with the items of the others. The
    caller has moved the case's own items and settled its request."""
    for run in case.runs:
        if run.state in LIVE_RUN:
            _regroup(session, keyring, run, {item.id for item in case.items}, cause)


def _regroup(session: Session, keyring: Keyring, run: Run, out: set[UUID], cause: Cause) -> None:
    model = session.get_one(Model, run.model_id)
    move_run(session, run, RunState.SUPERSEDED, cause, controller=model.controller_id)
    regrouped = Cause(Event.REGROUPED, cause.actor, cause.now)
    left = [
        item for item in items_of(session, run) if item.id not in out and not ITEM[item.state].ends
    ]
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


def _lock_runs(session: Session, ids: Iterable[UUID]) -> list[Run]:
    return list(
        session.scalars(
            select(Run)
            .where(Run.id.in_(ids))
            .order_by(Run.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )
