"""Writing to the log: an entry commits or rolls back with the change that it records."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.audit.kinds import Facts
from app.audit.merkle import leaf_hash
from app.audit.tables import PendingEntry
from app.canonical import canonical_json, instant_text


def entry_bytes(facts: Facts, *, now: datetime) -> bytes:
    """The leaf: `{"facts":{..},"kind":"..","time":".."}` in canonical form."""
    return canonical_json(
        {"facts": facts.model_dump(mode="json"), "kind": facts.kind, "time": instant_text(now)}
    )


def append(session: Session, facts: Facts, *, now: datetime) -> None:
    """Takes no index and no lock: those are the sequencer's, after the commit."""
    body = entry_bytes(facts, now=now)
    session.add(
        PendingEntry(
            kind=facts.kind.value,
            body=body,
            leaf_hash=leaf_hash(body),
            controller_id=_id_named("controller", facts),
            request_id=_id_named("request", facts),
            run_id=_id_named("run", facts),
            created_at=now,
        )
    )


def _id_named(field: str, facts: Facts) -> UUID | None:
    value = getattr(facts, field, None)
    return value if isinstance(value, UUID) else None
