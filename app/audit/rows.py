"""A stored entry against its own bytes: the hash, and the columns that repeat what they say.

Values are compared as the driver gives them. Read through the column types, a stored text could
differ from what was written and still mean the same, and a million rows would take a minute more.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Dialect, Row, type_coerce
from sqlalchemy.exc import OperationalError
from sqlalchemy.types import NullType

from app.audit.merkle import leaf_hash

# As a row of `check` has them.
COLUMNS = ("kind", "body", "leaf_hash", "controller_id", "request_id", "run_id", "created_at")
IDS = {"controller": "controller_id", "request": "request_id", "run": "run_id"}

Fault = str | None
Compare = Callable[[Row[Any]], Fault]


def comparison(dialect: Dialect) -> Compare:
    """What is wrong with a row, or None."""
    same_id, same_time = _IDS_AND_TIMES[dialect.name]

    def compare(row: Row[Any]) -> Fault:
        _, kind, body, digest, controller, request, run, created = tuple(row)
        # SQLite gives back a text where somebody stored one.
        if type(body) is not bytes or leaf_hash(body) != digest:
            return "its bytes do not have the stored hash"
        try:
            entry = json.loads(body)
            facts, time = entry["facts"], entry["time"]
            if entry["kind"] != kind:
                return _disagrees("kind")
            if not same_time(time, created):
                return _disagrees("created_at")
            for name, stored in (("controller", controller), ("request", request), ("run", run)):
                if not same_id(facts.get(name), stored):
                    return _disagrees(IDS[name])
        except (ValueError, KeyError, TypeError, AttributeError):
            return "its bytes are not an entry"
        return None

    return compare


def raw(column: Any) -> Any:
    """The driver's value, past the column's type."""
    return type_coerce(column, NullType())


def is_unreadable(error: OperationalError) -> bool:
    """SQLite refuses to hand out a text that is none."""
    import sqlite3  # where PostgreSQL is used, nothing else loads it

    return isinstance(error.orig, sqlite3.OperationalError) and "decode" in str(error.orig)


def _disagrees(column: str) -> str:
    return f"column {column} does not agree with its bytes"


def _same_id_on_sqlite(said: str | None, stored: object) -> bool:
    return stored == (said[4:] if said is not None else None)


def _same_time_on_sqlite(said: str, stored: object) -> bool:
    return stored == f"{said[:10]} {said[11:26]}"


def _same_id_on_postgresql(said: str | None, stored: UUID | None) -> bool:
    return (stored.hex if stored is not None else None) == (said[4:] if said is not None else None)


def _same_time_on_postgresql(said: str, stored: datetime) -> bool:
    return datetime.fromisoformat(said) == stored


_IDS_AND_TIMES: dict[str, tuple[Callable[..., bool], Callable[..., bool]]] = {
    "sqlite": (_same_id_on_sqlite, _same_time_on_sqlite),
    "postgresql": (_same_id_on_postgresql, _same_time_on_postgresql),
}
