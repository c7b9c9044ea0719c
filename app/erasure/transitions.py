"""The only way to change the state of a request, an item or a run.

Each move is checked against the table in `states.py`, written only if the row still is where the
caller saw it (for a run also: still held by the same attempt), and entered in the audit log of the
same transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.db import rows_changed
from app.erasure import announcing
from app.erasure.locks import LeaseLost
from app.erasure.states import (
    ITEM,
    LEASED_RUN,
    OPEN_REQUEST,
    REQUEST,
    RUN,
    ItemState,
    RequestState,
    RunState,
)
from app.erasure.tables import ErasureItem, ErasureRequest, ReasonCode, Run
from app.http.problems import Problem
from app.ids import controller_id, item_id, model_id, request_id, run_id


class Event(StrEnum):
    """Why a move happened, as the audit log and the callbacks name it."""

    SUBMITTED = "submitted"
    MODEL_ADDED = "model_added"
    CLAIMED = "claimed"
    LEASE_EXPIRED = "lease_expired"
    CRASHED = "crashed"
    STOPPED = "stopped"
    UNLEARNED = "unlearned"
    VERIFIED = "verified"
    REJECTED = "rejected"
    NEXT_RUNG = "next_rung"
    PUBLISHED = "published"
    COVERED = "covered"
    BASE_CHANGED = "base_changed"
    REQUEST_CANCELLED = "request_cancelled"
    REGROUPED = "regrouped"
    FAILED = "failed"
    TAKEN_APART = "taken_apart"
    RETRIED = "retried"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    TRAINED_ELSEWHERE = "trained_elsewhere"
    ROLLED_BACK = "rolled_back"
    RELAPSED = "relapsed"
    RELAPSE_SHARED = "relapse_shared"
    ITEMS_MOVED = "items_moved"
    APPROVED = "approved"
    HELD = "held"
    RESUMED = "resumed"
    EXTENDED = "extended"


class IllegalMove(Problem):
    status = 409
    code = "illegal-move"
    title = "Not possible in the present state"


class ChangedMeanwhile(Problem):
    status = 409
    code = "changed-meanwhile"
    title = "The state changed meanwhile; look again and repeat if it still makes sense"


@dataclass(frozen=True)
class Cause:
    """Why, by whom and when: the part of an audit entry that every move shares."""

    event: Event
    actor: str
    now: datetime


def move_request(
    session: Session,
    request: ErasureRequest,
    to: RequestState,
    cause: Cause,
    *,
    reason_code: ReasonCode | None = None,
    **values: Any,
) -> None:
    check_request_move(request, to)
    came_from = request.state
    values |= {"reason_code": reason_code, "outcome": values.get("outcome")}
    if came_from is RequestState.COMPLETED:  # reopened: what it said of its end is no longer so
        values |= {"completed_at": None, "earlier_request_id": None, "next_closing_at": None}
        values |= {"remind_at": cause.now}
    if to not in OPEN_REQUEST:
        values |= {"remind_at": None}
    _guarded(
        session,
        ErasureRequest,
        request,
        state=to,
        updated_at=cause.now,
        row_version=(request if request in session.new else ErasureRequest).row_version + 1,
        **values,
    )
    log.append(
        session,
        kinds.RequestMoved(
            controller=controller_id(request.controller_id),
            request=request_id(request.id),
            from_state=came_from,
            to_state=to,
            event=cause.event,
            actor=cause.actor,
            outcome=request.outcome,
            reason_code=request.hold_reason if to is RequestState.ON_HOLD else reason_code,
        ),
        now=cause.now,
    )
    announcing.request_moved(session, request, came_from, cause.event, now=cause.now)


def check_request_move(request: ErasureRequest, to: RequestState) -> None:
    """For callers that have more to do before the move itself."""
    _check("request", REQUEST[request.state].next, request.state, to)


def create_item(session: Session, item: ErasureItem, cause: Cause, *, controller: UUID) -> None:
    """An item's first state is an entry of the log like every later one."""
    session.add(item)
    _log_item(session, item, None, cause, controller)


def move_item(
    session: Session,
    item: ErasureItem,
    to: ItemState,
    cause: Cause,
    *,
    controller: UUID,
    **values: Any,
) -> None:
    """Moves one item; the caller settles its request afterwards (`completion.settle`)."""
    _check("item", ITEM[item.state].next, item.state, to)
    came_from = item.state
    _guarded(session, ErasureItem, item, state=to, **values)
    _log_item(session, item, came_from, cause, controller)


def move_run(
    session: Session,
    run: Run,
    to: RunState,
    cause: Cause,
    *,
    controller: UUID,
    **values: Any,
) -> None:
    """Moves a run that the caller has just read; its attempt is the fence.

    A run that no worker holds has no lease: leaving the leased states clears it here.
    """
    _check("run", RUN[run.state].next, run.state, to)
    came_from, attempt = run.state, run.attempt
    if to not in LEASED_RUN:
        values |= {"lease_until": None}
        if RUN[to].ends and not RUN[came_from].ends:
            values |= {"finished_at": cause.now}
    result = session.execute(
        update(Run)
        .where(Run.id == run.id, Run.state == came_from, Run.attempt == attempt)
        .values(state=to, **values)
        .execution_options(synchronize_session=False)
    )
    if rows_changed(result) != 1:
        raise LeaseLost
    session.refresh(run)
    log.append(
        session,
        kinds.RunMoved(
            controller=controller_id(controller),
            run=run_id(run.id),
            model=model_id(run.model_id),
            attempt=run.attempt,
            from_state=came_from,
            to_state=to,
            event=cause.event,
            actor=cause.actor,
            verdict=run.verdict,
            error_class=run.error_class,
        ),
        now=cause.now,
    )


def _check(what: str, legal: frozenset[StrEnum], present: StrEnum, to: StrEnum) -> None:
    if to not in legal:
        names = ", ".join(sorted(legal)) or "nothing: it has ended"
        raise IllegalMove(f"The {what} is {present}; from there it can become {names}, not {to}.")


def _log_item(
    session: Session,
    item: ErasureItem,
    came_from: ItemState | None,
    cause: Cause,
    controller: UUID,
) -> None:
    log.append(
        session,
        kinds.ItemMoved(
            controller=controller_id(controller),
            request=request_id(item.request_id),
            item=item_id(item.id),
            model=model_id(item.model_id),
            run=run_id(item.run_id) if item.run_id else None,
            from_state=came_from,
            to_state=item.state,
            event=cause.event,
            actor=cause.actor,
            error_class=item.error_class if item.state is ItemState.FAILED else None,
            reason_code=item.reason_code if item.state is ItemState.REFUSED else None,
        ),
        now=cause.now,
    )


def _guarded(
    session: Session, table: type[Any], row: ErasureRequest | ErasureItem, **values: Any
) -> None:
    if row in session.new:  # nobody else has seen it
        for name, value in values.items():
            setattr(row, name, value)
        return
    result = session.execute(
        update(table)
        .where(table.id == row.id, table.state == row.state)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    if rows_changed(result) != 1:
        raise ChangedMeanwhile("Another call or a worker moved it first.")
    session.refresh(row)
