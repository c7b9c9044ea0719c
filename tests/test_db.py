import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.config import Settings
from app.db import SILENCE, Database, after_commit
from app.keys.tables import Controller

NOW = datetime(2026, 3, 2, tzinfo=UTC)
# A traceback shows source lines, so the value must stand in none of those.
WHO = "jane-the-unmistakable"


def test_actions_run_after_the_commit_and_once_by_name(database: Database) -> None:
    done: list[str] = []
    with database.write() as session:
        session.add(Controller(name="a", created_at=NOW))
        after_commit(session, "bell", lambda: done.append("first"))
        after_commit(session, "bell", lambda: done.append("second"))
        assert done == []
    assert done == ["second"]


def test_nothing_runs_and_nothing_is_kept_if_the_transaction_fails(database: Database) -> None:
    done: list[str] = []
    with pytest.raises(RuntimeError), database.write() as session:
        session.add(Controller(name="a", created_at=NOW))
        session.flush()
        after_commit(session, "bell", lambda: done.append("rung"))
        raise RuntimeError
    assert done == []
    with database.read() as session:
        assert session.query(Controller).count() == 0


def test_a_writer_that_may_not_wait_is_told_that_the_database_is_busy(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL lets in any number of writers")
    holding, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write() as session:
            session.add(Controller(name="a", created_at=NOW))
            session.flush()
            holding.set()
            let_go.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert holding.wait(10)
        with pytest.raises(OperationalError), database.write(wait=0.05) as session:
            session.add(Controller(name="b", created_at=NOW))
            session.flush()
        with database.read() as session:  # readers do not wait
            assert session.query(Controller).count() == 0
    finally:
        let_go.set()
        other.join()
    with database.write(wait=1.0) as session:  # and the turn was given back
        session.add(Controller(name="c", created_at=NOW))


def test_many_writers_all_get_their_turn(database: Database) -> None:
    def add(number: int) -> None:
        with database.write() as session:
            session.add(Controller(name=f"c{number}", created_at=NOW))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.query(Controller).count() == 30


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="without a zone"), database.write() as session:
        session.add(Controller(name="a", created_at=datetime(2026, 3, 2)))


def test_the_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    Database(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_connection_to_sqlite_holds_no_more_of_the_file_than_it_may(tmp_path: Path) -> None:
    url, held = f"sqlite:///{tmp_path}/lotus.db", text("PRAGMA cache_size")
    for given, said in ((None, -2000), (256, -256)):  # negative: in KiB, not in pages
        opened = Database(url, page_cache_kib=given)
        with opened.read() as session:
            assert session.scalar(held) == said
        opened.dispose()


def test_bound_values_stay_out_of_errors(database: Database) -> None:
    with pytest.raises(Exception) as caught, database.write() as session:
        session.add(Controller(name=WHO, created_at=NOW))
        session.add(Controller(name=WHO, created_at=NOW))
    assert WHO not in "".join(format_exception(caught.value))


def test_a_value_that_the_database_cannot_read_stays_out_of_errors(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite reads whatever it is given")
    with pytest.raises(Exception) as caught, database.read() as session:
        session.execute(text("SELECT CAST(:value AS uuid)"), {"value": WHO})
    assert WHO not in "".join(format_exception(caught.value))
    assert "22P02" in str(caught.value)


def test_settings_that_lack_a_secret_name_it_and_show_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOTUS_DATABASE_URL", "postgresql+psycopg://u:hunter2@db/x")
    monkeypatch.setenv("LOTUS_SECRET_KEY", "c2VjcmV0LXNlY3JldA==")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "LOTUS_PSEUDONYM_KEY" in str(caught.value)
    assert "hunter2" not in str(caught.value) and "c2VjcmV0" not in str(caught.value)
    assert "hunter2" not in repr(Settings.model_construct(database_url="x://u:hunter2@db"))


def test_what_fails_after_a_commit_is_no_failure(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    done = list[str]()

    def fail() -> None:
        raise RuntimeError("can't start new thread")

    with database.write() as session:
        after_commit(session, "bell", fail)
        after_commit(session, "other", lambda: done.append("other"))
    assert done == ["other"]
    assert "not done after a commit: bell" in caplog.text


def test_a_silent_connection_to_postgresql_has_an_end_that_the_url_may_set(
    database: Database,
) -> None:
    if database.is_sqlite:
        pytest.skip("of a server")
    for url, expected in (
        (database.url, SILENCE["tcp_user_timeout"]),
        (database.url.update_query_dict({"tcp_user_timeout": "5000"}), "5000"),
    ):
        one = Database(url)
        with one.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            told = raw.info.get_parameters()
        one.dispose()
        assert told["tcp_user_timeout"] == expected
        assert told["connect_timeout"] == SILENCE["connect_timeout"]
