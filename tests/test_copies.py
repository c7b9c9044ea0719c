"""What a test finds in a database that others have used."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from app.db import Database
from app.keys import service as keys
from tests.audit.logs import write
from tests.copies import Copies


@pytest.fixture
def alone(copies: Copies) -> Copies:
    """Nobody else's copies lie in it."""
    return Copies(str(copies.server), copies.like)


def everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.read() as session:
        names = session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        found = {
            name: sorted(tuple(row) for row in session.execute(text(f'SELECT * FROM "{name}"')))
            for name in names.all()
        }
        values = text("SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 2")
        return found | {"sequences": [tuple(row) for row in session.execute(values)]}


def test_what_was_written_is_gone_and_numbers_begin_anew(alone: Copies) -> None:
    with alone.lend() as database:
        before, name = everything(database), database.url.database
        write(database, 3)
        with database.write() as session:
            keys.ensure_controller(session, "another", now=datetime.now(UTC))
            session.execute(text("DELETE FROM alembic_version"))
        assert everything(database) != before
    with alone.lend() as database:
        assert database.url.database == name
        assert everything(database) == before
    alone.close()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id INTEGER)",
        "ALTER TABLE controllers ADD COLUMN mine TEXT",
        "ALTER TABLE audit_entries DISABLE TRIGGER ALL",
        "DROP INDEX ix_recheck_cases_item_id",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "GRANT SELECT ON controllers TO PUBLIC",
        "COMMENT ON TABLE controllers IS 'mine'",
        "ANALYZE controllers",
        "ALTER DATABASE {name} SET synchronous_commit = on",
        "GRANT CREATE ON DATABASE {name} TO PUBLIC",
    ],
)
def test_a_database_whose_schema_or_settings_changed_is_lent_no_more(
    alone: Copies, statement: str
) -> None:
    with alone.lend() as database:
        name = database.url.database
        with database.write() as session:
            session.execute(text(statement.format(name=name)))
    with alone.lend() as database:
        assert database.url.database != name
    alone.close()


def test_a_database_to_which_somebody_is_still_connected_is_lent_no_more(alone: Copies) -> None:
    with alone.lend() as database:
        name = database.url.database
        other = Database(database.url)
        left = other.engine.connect()
        left.execute(text("SELECT 1"))
    with alone.lend() as database:
        assert database.url.database != name
    alone.close()
    left.invalidate()
    other.dispose()


def test_a_database_in_which_much_was_written_is_lent_no_more(
    alone: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.copies.MOST_ROWS", 5)
    with alone.lend() as database:
        name = database.url.database
        write(database, 6)
    with alone.lend() as database:
        assert database.url.database != name
    alone.close()


def test_two_at_once_have_two_databases(alone: Copies) -> None:
    with alone.lend() as first, alone.lend() as second:
        assert first.url != second.url
    alone.close()
