"""Keyset pages: a cursor says after which row to go on, so that no row is skipped or doubled while
others arrive."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.http.problems import Problem

T = TypeVar("T")
Row = TypeVar("Row", bound=Any)

Cursor = Annotated[
    str | None,
    Query(max_length=400, description="`next_cursor` of the page before."),
]
Limit = Annotated[int, Query(ge=1, le=200, description="Rows in a page.")]
DEFAULT_LIMIT = 50


class Page(BaseModel, Generic[T]):
    items: list[T]
    next_cursor: str | None = None


class BadCursor(Problem):
    status = 422
    code = "bad-cursor"
    title = "The cursor is not one of ours"


def encode_cursor(*parts: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode()


def decode_cursor(cursor: str, *kinds: type[str] | type[int]) -> tuple[str | int, ...]:
    """The parts of a cursor, each of the kind that its list expects."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, binascii.Error, RecursionError):
        raise BadCursor("Take the cursor from `next_cursor` of the page before.") from None
    if (
        not isinstance(parts, list)
        or len(parts) != len(kinds)
        or any(type(part) is not kind for part, kind in zip(parts, kinds, strict=True))
    ):
        raise BadCursor("Take the cursor from `next_cursor` of the same list.")
    return tuple(parts)


def newest_first(
    session: Session,
    query: Select[Row],
    key: InstrumentedAttribute[UUID],
    cursor: str | None,
    limit: int,
) -> tuple[Sequence[Row], str | None]:
    """One page of rows and the cursor of the next. Ids are ordered by time, so `key` is an id."""
    if cursor is not None:
        query = query.where(key < id_in(cursor))
    rows = session.scalars(query.order_by(key.desc()).limit(limit + 1)).all()
    if len(rows) <= limit:
        return rows, None
    last: UUID = getattr(rows[limit - 1], key.key)
    return rows[:limit], encode_cursor(last.hex)


def id_in(cursor: str) -> UUID:
    """The id after which a list goes on that is ordered by ids."""
    (text,) = decode_cursor(cursor, str)
    try:
        return UUID(hex=str(text))
    except ValueError:
        raise BadCursor("Take the cursor from `next_cursor` of the same list.") from None
