"""Processes that migrate one database at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from app import migrate, revisions
from app.db import Database


def another(database: Database) -> Database:
    """As another process would open it."""
    return Database(database.url)


def test_two_that_migrate_at_once_take_turns_and_both_end_well(empty_database: Database) -> None:
    both = [another(empty_database), another(empty_database)]
    with ThreadPoolExecutor() as pool:
        with empty_database.write() as session:  # so that they meet while a third is at it
            if empty_database.is_sqlite:
                session.execute(text("CREATE TABLE held (id INTEGER)"))
            else:
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": migrate.LOCK})
            migrations = [pool.submit(migrate.upgrade, database) for database in both]
            wait_until_both_wait(empty_database)
            assert not any(migration.done() for migration in migrations)
        for migration in migrations:
            migration.result(60)
    assert revisions.is_current(empty_database)
    with empty_database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    for database in both:
        database.dispose()


def wait_until_both_wait(database: Database) -> None:
    if database.is_sqlite:
        time.sleep(0.3)  # SQLite shows nobody who waits; if they come later, they find the same
        return
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    for _ in range(200):
        with database.read() as session:
            if session.scalar(waiting) == 2:
                return
        time.sleep(0.05)
    raise AssertionError("they did not meet")


def test_a_turn_that_does_not_come_is_a_plain_error_and_changes_nothing(
    empty_database: Database,
) -> None:
    late = another(empty_database)
    with empty_database.write() as session:
        if empty_database.is_sqlite:
            session.execute(text("CREATE TABLE held (id INTEGER)"))
        else:
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": migrate.LOCK})
        with pytest.raises(migrate.Busy, match="Another process migrates"):
            migrate.upgrade(late, wait=0.2)
    assert revisions.current(late) is None
    migrate.upgrade(late, wait=5.0)
    assert revisions.is_current(late)
    late.dispose()


def test_a_migration_in_the_same_process_waits_its_turn_too(empty_database: Database) -> None:
    holding, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with empty_database.write() as session:
            if empty_database.is_sqlite:
                session.execute(text("SELECT 1"))
            else:
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": migrate.LOCK})
            holding.set()
            let_go.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert holding.wait(10)
        with pytest.raises(migrate.Busy):
            migrate.upgrade(empty_database, wait=0.2)
    finally:
        let_go.set()
        other.join()
    migrate.upgrade(empty_database, wait=5.0)
    assert revisions.is_current(empty_database)


def test_a_table_that_the_service_holds_is_a_plain_error_and_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.is_sqlite:
        pytest.skip("on SQLite whoever writes holds everything")
    monkeypatch.setattr(migrate, "TABLE_SECONDS", 0.2)
    with database.read() as session:
        session.execute(text("SELECT count(*) FROM audit_entries"))  # held until the session ends
        with pytest.raises(migrate.Busy, match="The service holds a table"):
            migrate.downgrade(database, "base")
    assert revisions.is_current(database)


def test_a_statement_that_works_too_long_is_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no such limit")
    monkeypatch.setattr(migrate, "STATEMENT_SECONDS", 0.2)

    def endless(config: object, revision: str) -> None:
        connection = config.attributes["connection"]  # type: ignore[attr-defined]
        connection.execute(text("SELECT pg_sleep(30)"))

    monkeypatch.setattr(migrate.command, "upgrade", endless)
    with pytest.raises(Exception, match="statement timeout"):
        migrate.upgrade(database)
