"""What a case or a run looks like now, in a few characters: two looks that give the same mark saw
the same thing."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.certificates.tables import Certificate
from app.erasure.states import REQUEST, RUN, RequestState
from app.erasure.tables import ErasureItem, ErasureRequest, Run


class Followed(StrEnum):
    REQUEST = "request"
    RUN = "run"


class Thing(NamedTuple):
    kind: Followed
    id: UUID


class Mark(NamedTuple):
    """`ended`: it will not change any more."""

    text: str
    ended: bool


def marks(session: Session, things: Iterable[Thing]) -> dict[Thing, Mark]:
    """Of all of them, in four queries."""
    by_kind: dict[Followed, list[UUID]] = defaultdict(list)
    for thing in set(things):
        by_kind[thing.kind].append(thing.id)
    return {
        **_requests(session, by_kind[Followed.REQUEST]),
        **_runs(session, by_kind[Followed.RUN]),
    }


def _requests(session: Session, ids: list[UUID]) -> dict[Thing, Mark]:
    if not ids:
        return {}
    seen: dict[UUID, list[Any]] = defaultdict(list)
    items = select(
        ErasureItem.request_id,
        ErasureItem.id,
        ErasureItem.state,
        ErasureItem.run_id,
        ErasureItem.relapses,
    ).where(ErasureItem.request_id.in_(ids))
    for request, *rest in session.execute(items.order_by(ErasureItem.id)):
        seen[request].append(rest)
    certificates = select(Certificate.request_id, Certificate.id, Certificate.state).where(
        Certificate.request_id.in_(ids)
    )
    for request, *rest in session.execute(certificates.order_by(Certificate.id)):
        seen[request].append(rest)
    requests = select(
        ErasureRequest.id,
        ErasureRequest.state,
        ErasureRequest.closed_at,
        ErasureRequest.row_version,
        ErasureRequest.updated_at,
    ).where(ErasureRequest.id.in_(ids))
    return {
        Thing(Followed.REQUEST, row.id): Mark(
            _digest([row.state, row.closed_at, row.row_version, row.updated_at, seen[row.id]]),
            row.closed_at is not None
            or (REQUEST[row.state].ends and row.state is not RequestState.COMPLETED),
        )
        for row in session.execute(requests)
    }


def _runs(session: Session, ids: list[UUID]) -> dict[Thing, Mark]:
    if not ids:
        return {}
    runs = select(
        Run.id, Run.state, Run.attempt, Run.progress, Run.verdict, Run.error_class, Run.finished_at
    ).where(Run.id.in_(ids))
    return {
        Thing(Followed.RUN, id): Mark(_digest([state, *rest]), RUN[state].ends)
        for id, state, *rest in session.execute(runs)
    }


def _digest(seen: list[Any]) -> str:
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:24]
