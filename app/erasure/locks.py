"""Rows that are about to change, locked; and the fence that a worker's writes must pass.

Lock order, so that no two of these transactions wait for each other: model, re-check, run, items,
requests; each kind in the order of its ids. The model's lock is the registry's.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.erasure.states import LEASED_RUN
from app.erasure.tables import ErasureItem, ErasureRequest, Run, RunItem

AT_ONCE = 1_000
Row = TypeVar("Row", ErasureItem, ErasureRequest)


class LeaseLost(Exception):
    """Another attempt holds the run, or it was cancelled: stop at once and publish nothing."""


@dataclass(frozen=True)
class Fence:
    """What a worker proves with every write: this run, this attempt."""

    run_id: UUID
    attempt: int

    @property
    def identity(self) -> UUID:
        return self.run_id


def fenced_run(session: Session, fence: Fence) -> Run:
    """The run, locked, if this attempt still holds it."""
    return _held(session, _fenced(fence).with_for_update())


def held_run(session: Session, fence: Fence) -> Run:
    """The same for a reader, without the lock: true only as of now."""
    return _held(session, _fenced(fence))


def _fenced(fence: Fence) -> Select[Run]:
    return select(Run).where(
        Run.id == fence.run_id, Run.attempt == fence.attempt, Run.state.in_(LEASED_RUN)
    )


def _held(session: Session, query: Select[Run]) -> Run:
    run = session.scalar(query.execution_options(populate_existing=True))
    if run is None:
        raise LeaseLost
    return run


def items_of(session: Session, run: Run) -> list[ErasureItem]:
    """The items that the run was formed with, locked."""
    ids = session.scalars(select(RunItem.item_id).where(RunItem.run_id == run.id)).all()
    return list(lock_items(session, ids))


def lock_items(session: Session, ids: Iterable[UUID]) -> list[ErasureItem]:
    return [row for part in _parts(ids) for row in _lock(session, ErasureItem, part)]


def lock_requests(session: Session, ids: Iterable[UUID]) -> list[ErasureRequest]:
    return [row for part in _parts(ids) for row in _lock(session, ErasureRequest, part)]


def _parts(ids: Iterable[UUID]) -> Iterator[list[UUID]]:
    """In order, and few enough for one statement: a database takes only so many parameters."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]


def _lock(session: Session, table: type[Row], ids: list[UUID]) -> Sequence[Row]:
    return session.scalars(
        select(table)
        .where(table.id.in_(ids))
        .order_by(table.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
