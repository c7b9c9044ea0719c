from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import func, select

from app.audit import kinds
from app.audit.log import append, entry_bytes
from app.audit.tables import PendingEntry
from app.db import Database

NOW = datetime(2026, 3, 1, 12, 30, 5, 40, tzinfo=UTC)
CONTROLLER = UUID("0195a000-0000-7000-8000-000000000001")
REQUEST = UUID("0195a000-0000-7000-8000-000000000002")
RUN = UUID("0195a000-0000-7000-8000-000000000003")
MODEL = UUID("0195a000-0000-7000-8000-000000000004")
ITEM = UUID("0195a000-0000-7000-8000-000000000005")


class State(StrEnum):
    RECEIVED = "received"
    SCHEDULED = "scheduled"


def moved(**changes: object) -> kinds.RequestMoved:
    facts = {
        "controller": CONTROLLER,
        "request": REQUEST,
        "from_state": State.RECEIVED,
        "to_state": State.SCHEDULED,
        "event": "accepted",
        "actor": kinds.SERVICE,
    }
    return kinds.RequestMoved.model_validate(facts | changes)


def test_an_entry_is_these_exact_bytes() -> None:
    assert entry_bytes(moved(), now=NOW) == (
        b'{"facts":{"actor":"service","controller":"ctl_0195a000000070008000000000000001",'
        b'"event":"accepted","from_state":"received","outcome":null,"reason_code":null,'
        b'"request":"req_0195a000000070008000000000000002","to_state":"scheduled"},'
        b'"kind":"erasure:request:moved","time":"2026-03-01T12:30:05.000040Z"}'
    )


def test_the_same_instant_in_another_zone_gives_the_same_bytes() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert entry_bytes(moved(), now=there) == entry_bytes(moved(), now=NOW)


def test_appending_stores_the_bytes_their_leaf_hash_and_what_is_searched(
    database: Database,
) -> None:
    facts = kinds.ItemMoved(
        controller=CONTROLLER,
        request=REQUEST,
        item=ITEM,
        model=MODEL,
        run=RUN,
        from_state=None,
        to_state="scheduled",
        event="accepted",
        actor=kinds.key_actor(MODEL),
    )
    with database.write() as session:
        append(session, facts, now=NOW)
    with database.read() as session:
        row = session.scalars(select(PendingEntry)).one()
    assert row.body == entry_bytes(facts, now=NOW)
    assert row.leaf_hash == sha256(b"\x00" + row.body).digest()
    assert row.kind == "erasure:item:moved"
    assert (row.controller_id, row.request_id, row.run_id) == (CONTROLLER, REQUEST, RUN)
    assert row.created_at == NOW


def test_an_entry_without_request_or_run_leaves_those_columns_empty(database: Database) -> None:
    with database.write() as session:
        append(session, kinds.ArtifactDestroyed(sha256="a" * 64, reason="superseded"), now=NOW)
    with database.read() as session:
        row = session.scalars(select(PendingEntry)).one()
    assert (row.controller_id, row.request_id, row.run_id) == (None, None, None)


def test_an_entry_goes_with_the_transaction_that_is_rolled_back(database: Database) -> None:
    class Refused(Exception):
        pass

    with pytest.raises(Refused), database.write() as session:
        append(session, moved(), now=NOW)
        session.flush()
        raise Refused
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(PendingEntry)) == 0


def test_every_kind_has_one_body_and_a_name_of_three_parts() -> None:
    assert set(kinds.BODIES) == set(kinds.Kind)
    assert len(kinds.Facts.__subclasses__()) == len(kinds.Kind)
    for kind in kinds.Kind:
        source, subject, action = kind.split(":")
        assert source.isalpha() and subject.isalpha() and action.isalpha()


def test_no_body_has_a_field_for_free_text() -> None:
    """Every text field is held to a pattern that leaves no room for a name or an address."""
    for body in kinds.BODIES.values():
        fields = body.model_json_schema()["properties"]
        for name, schema in fields.items():
            for text in _texts(schema):
                assert "pattern" in text or text.get("format") == "date-time", (body, name)


def _texts(schema: dict) -> list[dict]:
    variants = schema.get("anyOf", [schema.get("items", schema)])
    return [variant for variant in variants if variant.get("type") == "string"]


@pytest.mark.parametrize(
    "text",
    ["ann@example.org", "Ann Miller", "", "Scheduled", "x" * 65, "schéduled", "a\n", "../etc"],
)
def test_a_code_holds_nothing_that_somebody_typed(text: str) -> None:
    with pytest.raises(ValidationError):
        moved(event=text)


@pytest.mark.parametrize(
    "actor", ["ann", "key_", "key_" + "0" * 31, "KEY_" + "0" * 32, "worker_" + "g" * 32]
)
def test_an_actor_is_a_key_a_worker_the_service_or_the_operator(actor: str) -> None:
    with pytest.raises(ValidationError):
        moved(actor=actor)
    for right in (kinds.key_actor(RUN), kinds.worker_actor(RUN), kinds.SERVICE, kinds.OPERATOR):
        assert moved(actor=right).actor == right


def test_an_unknown_fact_is_refused() -> None:
    with pytest.raises(ValidationError):
        moved(external_id="case-17")


def test_facts_cannot_be_changed_once_made() -> None:
    with pytest.raises(ValidationError):
        moved().event = "other"
