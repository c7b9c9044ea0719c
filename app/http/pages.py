"""Keyset pages: a cursor says after which row to go on, so that no row is skipped or doubled while
others arrive."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.http.problems import FieldError, Problem

T = TypeVar("T")
Row = TypeVar("Row", bound=Any)

# As fields of a model of a whole query, and as parameters of their own.
CursorText = Annotated[
    str | None,
    Field(max_length=400, description="`next_cursor` of the page before."),
]
PageSize = Annotated[int, Field(ge=1, le=200, description="Rows in a page.")]
Cursor = Annotated[CursorText, Query()]
Limit = Annotated[PageSize, Query()]
DEFAULT_LIMIT = 50


class Page(BaseModel, Generic[T]):
    """The list goes on as long as there is a `next_cursor`, also after a page that is not full."""

    items: list[T]
    next_cursor: str | None = None


class BadCursor(Problem):
    status = 422
    code = "bad-cursor"
    title = "The cursor is not one of ours"


def refused_cursor() -> BadCursor:
    return BadCursor(
        "Take the cursor from `next_cursor` of the page before, in the same list with the same "
        "filter.",
        errors=[FieldError(field="query.cursor", message="is not valid")],
    )


def encode_cursor(*parts: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode()


def decode_cursor(cursor: str, *kinds: type[str] | type[int]) -> tuple[str | int, ...]:
    """The parts of a cursor, each of the kind that its list expects."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, binascii.Error, RecursionError):
        raise refused_cursor() from None
    if (
        not isinstance(parts, list)
        or len(parts) != len(kinds)
        or any(type(part) is not kind for part, kind in zip(parts, kinds, strict=True))
    ):
        raise refused_cursor()
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
        raise refused_cursor() from None
