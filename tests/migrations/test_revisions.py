"""Every script by itself, up and down, with and without rows in the tables."""

from datetime import UTC, datetime
from importlib.resources import files

import pytest
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from sqlalchemy import MetaData, func, inspect, select, text

from app import migrate, revisions
from app.audit.sequencer import sequence
from app.db import Database
from app.runtime import Runtime
from tests.erasure.conftest import URL
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.erasure.working import Hand
from tests.migrations.shapes import shape

SCRIPTS = list(ScriptDirectory(str(files("migrations"))).walk_revisions())[::-1]
CHAIN = [script.revision for script in SCRIPTS]
BEFORE = dict(zip(CHAIN, ["base", *CHAIN], strict=False))


def test_the_scripts_are_one_chain() -> None:
    assert [script.down_revision for script in SCRIPTS] == [None, *CHAIN[:-1]]


@pytest.mark.parametrize("revision", CHAIN)
def test_a_revision_goes_up_and_down_and_up(empty_database: Database, revision: str) -> None:
    if BEFORE[revision] != "base":
        migrate.upgrade(empty_database, BEFORE[revision])
    before = shape(empty_database)
    migrate.upgrade(empty_database, revision)
    assert revisions.current(empty_database) == revision
    after = shape(empty_database)
    assert after != before
    migrate.downgrade(empty_database, "-1")
    assert shape(empty_database) == before
    migrate.upgrade(empty_database, revision)
    assert shape(empty_database) == after


@pytest.fixture
def worked(runtime: Runtime, api: TestClient) -> Database:
    """A service that has done its work: one person's run published, another's rejected."""
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(ada=4, ben=3))
        add_model(session, dataset)
    hand = Hand.hire(runtime, datetime.now(UTC))
    for customer, finish in (("ada", hand.publish), ("ben", hand.reject)):
        answer = api.post(
            URL, json=submission(customer), headers={"Idempotency-Key": f"key-{customer}"}
        )
        assert answer.status_code == 202
        now = datetime.now(UTC)
        finish(hand.must_claim(now), now)
    with runtime.database.write() as session:
        sequence(session, now=datetime.now(UTC), limit=10)
    return runtime.database


def test_every_script_goes_down_and_up_again_over_a_service_s_rows(worked: Database) -> None:
    before = counts(worked)
    assert {"audit_nodes", "certificates", "item_samples", "unlearned_samples"} <= {
        table for table, rows in before.items() if rows
    }
    for revision in reversed(CHAIN[1:]):
        assert revisions.current(worked) == revision
        migrate.downgrade(worked, "-1")
    assert revisions.current(worked) == CHAIN[0]
    left = counts(worked)
    assert left["erasure_requests"] == 2
    for revision in CHAIN[1:]:
        migrate.upgrade(worked, revision)
    after = counts(worked)
    # What a script adds, its way back takes away with the rows; nothing else may be lost.
    assert {table: rows for table, rows in after.items() if table in left} == {
        table: rows for table, rows in before.items() if table in left
    }


def test_rows_do_not_keep_the_tables_from_going_and_coming_back_empty(worked: Database) -> None:
    migrate.downgrade(worked, "base")
    assert set(counts(worked)) == set()
    migrate.upgrade(worked)
    assert revisions.is_current(worked)
    assert set(counts(worked).values()) == {0}


def test_sqlite_may_rebuild_a_table_that_others_refer_to(worked: Database) -> None:
    """As a batch of Alembic does: copy, drop, rename."""
    if not worked.is_sqlite:
        pytest.skip("PostgreSQL alters tables in place")
    before = counts(worked)
    with worked.write(rebuilds=True) as session:
        session.execute(text("CREATE TABLE other AS SELECT * FROM models"))
        session.execute(text("DROP TABLE models"))
        session.execute(text("ALTER TABLE other RENAME TO models"))
    assert before["models"] == 1 and before["runs"] > 1
    assert counts(worked) == before


def test_a_script_that_leaves_a_broken_reference_on_sqlite_is_undone(worked: Database) -> None:
    if not worked.is_sqlite:
        pytest.skip("PostgreSQL never stops checking them")
    with worked.write(rebuilds=True) as session:
        session.execute(text("DELETE FROM models"))
    with pytest.raises(RuntimeError, match="refers to nothing"):
        migrate.downgrade(worked, "-1")
    assert revisions.is_current(worked)


def counts(database: Database) -> dict[str, int]:
    found = MetaData()
    found.reflect(database.engine)
    with database.read() as session:
        return {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in found.tables.items()
            if name != "alembic_version"
        }


def test_triggers_count_as_part_of_a_shape(database: Database) -> None:
    assert shape(database)["audit_entries"]["triggers"]
    with database.write() as session:
        where = "" if database.is_sqlite else " ON audit_entries"
        session.execute(text(f"DROP TRIGGER audit_entries_no_delete{where}"))
    assert "audit_entries_no_delete" not in shape(database)["audit_entries"]["triggers"]
    assert "audit_entries" in inspect(database.engine).get_table_names()
