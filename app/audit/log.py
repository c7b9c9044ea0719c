"""Writing to the log: an entry commits or rolls back with the change that it records."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.audit.kinds import Facts
from app.audit.merkle import leaf_hash
from app.audit.tables import PendingEntry
from app.canonical import canonical_json, instant_text

_GATHERED = "audit entries"
_TABLE: Any = PendingEntry.__table__
_INSERT = insert(_TABLE)


def entry_bytes(facts: Facts, *, now: datetime) -> bytes:
    """The leaf: `{"facts":{..},"kind":"..","time":".."}` in canonical form."""
    return canonical_json(
        {"facts": facts.model_dump(mode="json"), "kind": facts.kind, "time": instant_text(now)}
    )


def append(session: Session, facts: Facts, *, now: datetime) -> None:
    """Takes no index and no lock: those are the sequencer's, after the commit."""
    body = entry_bytes(facts, now=now)
    row = {
        "kind": facts.kind.value,
        "body": body,
        "leaf_hash": leaf_hash(body),
        "controller_id": _id_named("controller", facts),
        "request_id": _id_named("request", facts),
        "run_id": _id_named("run", facts),
        "created_at": now,
    }
    if (gathered := session.info.get(_GATHERED)) is not None:
        gathered.append(row)
    else:
        session.add(PendingEntry(**row))


@contextmanager
def together(session: Session) -> Iterator[None]:
    """What is appended inside is written at the end of the block by one statement, in its order. No
    savepoint may begin or end inside: it would not know of what is not written yet."""
    session.info[_GATHERED] = gathered = list[dict[str, Any]]()
    try:
        yield
    finally:
        del session.info[_GATHERED]
    if gathered:
        session.execute(_INSERT, gathered)


def _id_named(field: str, facts: Facts) -> UUID | None:
    value = getattr(facts, field, None)
    return value if isinstance(value, UUID) else None
