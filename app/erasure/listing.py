"""Requests that fit a filter, one page at a time, however many there are.

Every page is read along an index: from where the page before ended, in the order that the filter
implies. What the index does not know of the filter is looked up for at most `SCANNED` requests,
so a page can be short, even empty, and still name the next one; none costs more than that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, false, not_, select, true, union_all
from sqlalchemy.orm import Session

from app.canonical import instant_text
from app.erasure.filtering import RequestFilter
from app.erasure.queue import effective_due, is_overdue
from app.erasure.states import OPEN_REQUEST, RequestState
from app.erasure.tables import IS_OPEN, ErasureItem, ErasureRequest
from app.http.pages import decode_cursor, encode_cursor, refused_cursor

# How many requests a page looks at, if need be, where only some of them fit.
SCANNED = 2_000
INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"

Condition = ColumnElement[bool]


class Order(StrEnum):
    """By id, the newest first; or by a time, the earliest first, and by id among equals."""

    NEWEST = "newest"
    DUE = "due"
    UPDATED = "updated"


@dataclass(frozen=True)
class _Place:
    """The last request of a page, and the time it was ordered by."""

    id: UUID
    time: datetime | None


def page(
    session: Session,
    controller: UUID,
    wanted: RequestFilter,
    cursor: str | None,
    limit: int,
    *,
    now: datetime,
) -> tuple[list[ErasureRequest], str | None]:
    """At most `limit` requests, and the cursor of the next page unless this is the last."""
    order = order_of(wanted)
    after = None if cursor is None else _place(cursor, order)
    left = list(_left_to_check(controller, wanted, order, now))
    parts = _parts(controller, wanted, order, after, left, now)
    # Most of them often fit, so that a shorter look is enough.
    looks = sorted({min(5 * limit, SCANNED), SCANNED}) if left else [limit + 1]
    for look in looks:
        seen = session.execute(_merged(parts, order, look)).mappings()
        places = [(_Place(row["id"], row.get("time")), row["fits"]) for row in seen]
        fitting = [place for place, fits in places if fits]
        if len(fitting) > limit:
            return _loaded(session, fitting[:limit]), _cursor(order, fitting[limit - 1])
        if len(places) < look:
            return _loaded(session, fitting), None
    return _loaded(session, fitting), _cursor(order, places[-1][0])


def order_of(wanted: RequestFilter) -> Order:
    if wanted.external_id is not None:
        return Order.NEWEST
    if wanted.overdue or wanted.due_before is not None:
        return Order.DUE
    return Order.NEWEST if wanted.updated_since is None else Order.UPDATED


def _loaded(session: Session, places: Sequence[_Place]) -> list[ErasureRequest]:
    ids = [place.id for place in places]
    rows = session.scalars(select(ErasureRequest).where(ErasureRequest.id.in_(ids)))
    by_id = {row.id: row for row in rows}
    return [by_id[one] for one in ids]


def _left_to_check(
    controller: UUID, wanted: RequestFilter, order: Order, now: datetime
) -> Iterator[Condition]:
    """What the index that is read along does not know."""
    along_state = order is not Order.UPDATED and wanted.external_id is None
    if _along_items(wanted, order):
        along_state = False
        yield ErasureRequest.controller_id == controller
    elif wanted.model is not None:
        # At most one row, and not `exists`: PostgreSQL may answer that from the whole table.
        of_request = ErasureItem.request_id == ErasureRequest.id
        item = select(ErasureItem.id).where(of_request, ErasureItem.model_id == wanted.model)
        yield item.scalar_subquery().is_not(None)
    if wanted.state and not along_state:
        yield ErasureRequest.state.in_(wanted.state)
    if wanted.regulation is not None:
        yield ErasureRequest.regulation == wanted.regulation
    if wanted.overdue is not None:
        late = and_(IS_OPEN, is_overdue(now))
        yield late if wanted.overdue else not_(late)
    if order is Order.NEWEST and wanted.due_before is not None:
        yield effective_due() < wanted.due_before
    if order is not Order.UPDATED and wanted.updated_since is not None:
        yield ErasureRequest.updated_at >= wanted.updated_since


def _along_items(wanted: RequestFilter, order: Order) -> bool:
    return wanted.model is not None and order is Order.NEWEST and wanted.external_id is None


def _parts(
    controller: UUID,
    wanted: RequestFilter,
    order: Order,
    after: _Place | None,
    left: Sequence[Condition],
    now: datetime,
) -> list[Select[Any]]:
    """What is read: each part is one range of one index, in its order, and `fits` at most a look-up
    by id. So no database reads more than it returns, whatever it believes of the table."""
    if _along_items(wanted, order):
        its = select(and_(*left)).where(ErasureRequest.id == ErasureItem.request_id)
        fits = its.correlate(ErasureItem).scalar_subquery()
        columns = [ErasureItem.request_id.label("id"), fits.label("fits")]
        return [
            select(*columns).where(ErasureItem.model_id == wanted.model, *reach)
            for reach in _reaches(ErasureItem.request_id, None, after)
        ]
    time = _time(order)
    columns = [ErasureRequest.id.label("id"), and_(true(), *left).label("fits")]
    columns += [] if time is None else [time.label("time")]
    return [
        select(*columns).where(*start, *_within(wanted, order, now), *reach)
        for start in _starts(controller, wanted, order)
        for reach in _reaches(ErasureRequest.id, time, after)
    ]


def _merged(parts: Sequence[Select[Any]], order: Order, look: int) -> Select[Any]:
    found = [
        part.order_by(*_by(part.selected_columns, order)).limit(look).subquery() for part in parts
    ]
    whole = union_all(*(select(part) for part in found)).subquery()
    return select(whole).order_by(*_by(whole.c, order)).limit(look)


def _time(order: Order) -> Any:
    """The column that comes before the id."""
    if order is Order.DUE:
        return effective_due()
    return ErasureRequest.updated_at if order is Order.UPDATED else None


def _by(columns: Any, order: Order) -> list[ColumnElement[Any]]:
    return [columns.id.desc()] if order is Order.NEWEST else [columns.time, columns.id]


def _starts(controller: UUID, wanted: RequestFilter, order: Order) -> Iterator[list[Condition]]:
    """What the beginning of an index is equal to; one for each state where it holds the state."""
    own = ErasureRequest.controller_id == controller
    states = set(wanted.state)
    if wanted.external_id is not None:
        yield [own, ErasureRequest.external_id == wanted.external_id]
        return
    if order is Order.DUE:
        states = states or set(RequestState)
        if wanted.overdue:
            states &= set(OPEN_REQUEST)
    if order is Order.UPDATED or (not wanted.state and order is Order.NEWEST):
        yield [own]
        return
    for state in sorted(states):
        yield [own, ErasureRequest.state == state]
    if not states:
        yield [false()]


def _within(wanted: RequestFilter, order: Order, now: datetime) -> Iterator[Condition]:
    if order is Order.UPDATED:
        yield ErasureRequest.updated_at >= wanted.updated_since
    elif order is Order.DUE:
        # A clock that stands still shows an earlier time than ours: what is late was due by now.
        ends = [wanted.due_before, now if wanted.overdue else None]
        yield effective_due() < min(end for end in ends if end is not None)


def _reaches(id: Any, time: Any, after: _Place | None) -> Iterator[list[Condition]]:
    """From where the page before ended. Two ranges, because SQLite cannot compare a pair along an
    index of an expression."""
    if after is None:
        yield []
    elif time is None:
        yield [id < after.id]
    else:
        yield [time == after.time, id > after.id]
        yield [time > after.time]


def _cursor(order: Order, place: _Place) -> str:
    time = [] if place.time is None else [instant_text(place.time)]
    return encode_cursor(order, *time, place.id.hex)


def _place(cursor: str, order: Order) -> _Place:
    kinds = [str, str] if order is Order.NEWEST else [str, str, str]
    name, *time, last = map(str, decode_cursor(cursor, *kinds))
    if name != order:
        raise refused_cursor()
    try:
        moment = datetime.strptime(time[0], INSTANT).replace(tzinfo=UTC) if time else None
        return _Place(UUID(hex=last), moment)
    except ValueError:
        raise refused_cursor() from None
