"""What `benchmarks.api` puts into a service before it measures: a key, persons, old requests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import insert, text

from app.audit import kinds
from app.config import Settings
from app.db import Database
from app.erasure.tables import ErasureItem, ErasureRequest
from app.ids import new_id
from app.keys.scopes import ALL_SCOPES
from app.keys.service import create_key, ensure_controller
from app.runtime import Runtime
from benchmarks.http_load import call
from tests.erasure.factories import add_dataset, add_model, people, submission

URL = "/api/v1/erasure-requests"
PERSONS = 2_000
CHUNK = 10_000
YEARS = timedelta(days=3 * 365)
ENDS = ("completed", "completed", "completed", "completed", "cancelled", "refused")
# The newest of them wait for a worker: those of three weeks. One in so many older ones waits for a
# person, and is late.
NEWEST = 0.02
LATE_ONE_IN = 1_000


class Prepared(NamedTuple):
    key: str
    controller: UUID
    model: UUID


def prepared(settings: Settings, persons: int = PERSONS) -> Prepared:
    """A service that knows some persons, and a key with every scope."""
    runtime = Runtime.open(settings)
    now = datetime.now(UTC)
    try:
        with runtime.database.write() as session:
            owner = ensure_controller(session, "default", now=now)
            _, key = create_key(
                session,
                runtime.keyring,
                controller=owner.id,
                name="benchmark",
                scopes=ALL_SCOPES,
                actor=kinds.OPERATOR,
                now=now,
            )
            names = {f"person-{number}": 1 for number in range(persons)}
            model = add_model(session, add_dataset(runtime, session, people(**names)))
            return Prepared(key, owner.id, model.id)
    finally:
        runtime.close()


def submit(key: str) -> Callable[[int], bytes]:
    """Every call is new, for one of the persons: with a case number and an idempotency key."""

    def made(number: int) -> bytes:
        case = new_id().hex
        body = submission(f"person-{number % PERSONS}", external_id=case)
        return call("POST", URL, key=key, body=body, Idempotency_Key=case)

    return made


def fill(database: Database, known: Prepared, count: int) -> None:
    """Requests of the last three years, as rows alone; open ones have an item."""
    now = datetime.now(UTC)
    for start in range(0, count, CHUNK):
        rows, items = [], []
        for number in range(start, min(start + CHUNK, count)):
            row = _row(
                known.controller, number, now - YEARS * (1 - number / count), _state(number, count)
            )
            rows.append(row)
            if row["outcome"] is None and row["state"] in ("scheduled", "needs_decision"):
                items.append(_item(row, known.model))
        with database.write() as session:
            session.execute(insert(ErasureRequest), rows)
            if items:
                session.execute(insert(ErasureItem), items)
        print(f"\r  {start + len(rows):,} requests", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as raw:
            raw.execute(text("VACUUM ANALYZE"))


def _state(number: int, count: int) -> str:
    if number >= count * (1 - NEWEST):
        return "scheduled"
    return "needs_decision" if number % LATE_ONE_IN == 0 else ENDS[number % len(ENDS)]


def _row(controller: UUID, number: int, at: datetime, state: str) -> dict[str, Any]:
    ended = at if state == "completed" else None
    return {
        "id": _id_at(at, number),
        "controller_id": controller,
        "external_id": f"CASE-{number}",
        "regulation": "gdpr",
        "state": state,
        "outcome": "unlearned" if state == "completed" else None,
        "submitted_at": at,
        "received_at": at,
        "due_at": at + timedelta(days=30),
        "paused": [],
        "approval": "none",
        "completed_at": ended,
        "closed_at": ended,
        "body_digest": number.to_bytes(32),
        "row_version": 1,
        "created_at": at,
        "updated_at": at,
    }


def _item(row: dict[str, Any], model: UUID) -> dict[str, Any]:
    return {
        "id": UUID(int=row["id"].int ^ (1 << 61)),
        "request_id": row["id"],
        "model_id": model,
        "state": row["state"],
        "forget_count": 3,
        "held_out_count": 0,
        "accepted_at": row["received_at"],
        "relapses": 0,
    }


def _id_at(at: datetime, number: int) -> UUID:
    """A UUID of version 7 of that time, so that ids are ordered as they would be."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | number)
