from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, delete, insert, inspect, text, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from app import migrate, revisions
from app.audit.tables import AuditCheckpoint, AuditEntry, AuditNode, SigningKey
from app.db import Database
from app.schema import metadata
from tests.migrations.shapes import shape

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def names(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_the_scripts_build_exactly_the_tables_in_the_code(empty_database: Database) -> None:
    migrate.upgrade(empty_database)
    migrated = shape(empty_database)
    migrate.downgrade(empty_database, "base")
    with empty_database.write() as session:
        metadata.create_all(session.connection())
    created = shape(empty_database)
    assert set(created) == set(metadata.tables)
    for table, expected in created.items():
        # Triggers have no place in the code's tables.
        assert {**migrated[table], "triggers": {}} == {**expected, "triggers": {}}, table


def test_alembic_finds_nothing_to_draft(database: Database) -> None:
    with database.read() as session:
        found = compare_metadata(MigrationContext.configure(session.connection()), metadata)
    assert found == []


def test_a_changed_table_would_be_found(database: Database) -> None:
    other = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        if table.name != "item_samples":
            table.to_metadata(other)
    with database.read() as session:
        found = compare_metadata(MigrationContext.configure(session.connection()), other)
    assert {step[0] for step in found} == {"remove_index", "remove_table"}


def test_up_down_and_up_again_end_where_they_should(empty_database: Database) -> None:
    assert revisions.current(empty_database) is None
    assert not revisions.is_current(empty_database)
    migrate.upgrade(empty_database)
    assert names(empty_database) == set(metadata.tables) | {"alembic_version"}
    assert revisions.is_current(empty_database)
    migrate.downgrade(empty_database, "base")
    assert names(empty_database) == {"alembic_version"}
    assert not revisions.is_current(empty_database)
    migrate.upgrade(empty_database)
    assert names(empty_database) == set(metadata.tables) | {"alembic_version"}
    assert revisions.is_current(empty_database)


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    before = revisions.current(database)
    migrate.upgrade(database)
    assert revisions.current(database) == before


def test_one_revision_down_is_not_current(database: Database) -> None:
    migrate.downgrade(database, "-1")
    assert not revisions.is_current(database)
    assert "audit_entries" in names(database)


def test_a_script_that_fails_leaves_the_database_as_it_was(empty_database: Database) -> None:
    # The first script meets a table that is in its way after it has made others.
    with empty_database.write() as session:
        session.execute(text("CREATE TABLE workers (id INTEGER)"))
    with pytest.raises(DatabaseError):
        migrate.upgrade(empty_database)
    assert names(empty_database) - {"alembic_version"} == {"workers"}
    assert revisions.current(empty_database) is None


def test_a_database_of_newer_code_is_refused_by_name(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert not revisions.is_current(database)
    with pytest.raises(migrate.UnknownRevision, match="9999"):
        migrate.upgrade(database)


@pytest.fixture
def logged(database: Database) -> Iterator[Database]:
    """A log of one entry and one node, a checkpoint, and two keys of which one was retired."""
    with database.write() as session:
        session.execute(insert(AuditEntry), [entry(index=0)])
        session.execute(insert(AuditNode), [{"level": 1, "index": 0, "hash": b"n" * 32}])
        session.execute(insert(AuditCheckpoint), [checkpoint(size=1)])
        session.execute(insert(SigningKey), [key("old", NOW), key("new", None)])
    yield database


def entry(index: int) -> dict[str, Any]:
    return {
        "index": index,
        "sequenced_at": NOW,
        "kind": "test",
        "body": b"{}",
        "leaf_hash": b"h" * 32,
        "created_at": NOW,
    }


def checkpoint(size: int) -> dict[str, Any]:
    return {"tree_size": size, "root_hash": b"r" * 32, "note": "signed", "created_at": NOW}


def key(name: str, retired_at: datetime | None) -> dict[str, Any]:
    return {
        "key_id": name,
        "public": name.encode().ljust(32),
        "created_at": NOW,
        "retired_at": retired_at,
    }


@pytest.mark.parametrize(
    "statement",
    [
        update(AuditEntry).values(body=b"other"),
        update(AuditEntry).values(sequenced_at=NOW),
        delete(AuditEntry),
        update(AuditNode).values(hash=b"x" * 32),
        delete(AuditNode),
        update(AuditCheckpoint).values(note="forged"),
        update(AuditCheckpoint).values(created_at=NOW),
        delete(AuditCheckpoint),
        update(SigningKey).values(public=b"x" * 32),
        update(SigningKey).where(SigningKey.key_id == "new").values(key_id="x", retired_at=NOW),
        update(SigningKey).where(SigningKey.key_id == "old").values(retired_at=None),
        update(SigningKey).where(SigningKey.key_id == "old").values(retired_at=NOW),
        delete(SigningKey),
    ],
    ids=[
        "change an entry",
        "touch an entry",
        "remove an entry",
        "change a node",
        "remove a node",
        "change a checkpoint",
        "touch a checkpoint",
        "remove a checkpoint",
        "change a key",
        "rename a key while it retires",
        "bring a key back",
        "retire a key twice",
        "remove a key",
    ],
)
def test_the_database_refuses_to(logged: Database, statement: Any) -> None:
    before = _log(logged)
    with pytest.raises(DatabaseError, match="append-only"), logged.write() as session:
        session.execute(statement)
    assert _log(logged) == before


def test_sqlite_refuses_to_replace_an_entry_or_a_node_by_inserting(logged: Database) -> None:
    if not logged.is_sqlite:
        pytest.skip("PostgreSQL has no INSERT OR REPLACE; its upsert is an UPDATE")
    before = _log(logged)
    for statement in (
        insert(AuditEntry).prefix_with("OR REPLACE").values(**entry(index=0)),
        insert(AuditNode).prefix_with("OR REPLACE").values(level=1, index=0, hash=b"x" * 32),
        insert(AuditCheckpoint).prefix_with("OR REPLACE").values(**checkpoint(size=1)),
        insert(SigningKey).prefix_with("OR REPLACE").values(**key("old", None)),
        insert(SigningKey)
        .prefix_with("OR REPLACE")
        .values(**key("old", None) | {"key_id": "other"}),
    ):
        with pytest.raises(DatabaseError, match="append-only"), logged.write() as session:
            session.execute(statement)
    assert _log(logged) == before


def test_postgresql_refuses_to_truncate_the_log(logged: Database) -> None:
    if logged.is_sqlite:
        pytest.skip("SQLite has no TRUNCATE")
    for table in ("audit_entries", "audit_nodes", "audit_checkpoints", "signing_keys"):
        with pytest.raises(DatabaseError, match="append-only"), logged.write() as session:
            session.execute(text(f"TRUNCATE {table}"))


def test_the_log_still_grows(logged: Database) -> None:
    with logged.write() as session:
        session.execute(insert(AuditEntry), [entry(index=1)])
        session.execute(insert(AuditNode), [{"level": 1, "index": 1, "hash": b"m" * 32}])
        session.execute(insert(AuditCheckpoint), [checkpoint(size=2)])
        session.execute(update(SigningKey).where(SigningKey.key_id == "new").values(retired_at=NOW))
        session.execute(insert(SigningKey), [key("newer", None)])
    assert len(_log(logged)) == 9


def _log(database: Database) -> list[Any]:
    with database.read() as session:
        tables = (AuditEntry, AuditNode, AuditCheckpoint, SigningKey)
        return [row for table in tables for row in _rows(session, table)]


def _rows(session: Session, table: type[Any]) -> list[Any]:
    return [tuple(row) for row in session.execute(table.__table__.select())]
