"""The log here has no triggers: whoever holds the database file can take them away."""

import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from app.audit import kinds
from app.audit.check import CheckResult, check
from app.audit.log import append
from app.audit.sequencer import head, sequence
from app.db import Database
from app.schema import metadata

NOW = datetime(2026, 3, 1, 12, 30, 5, 40, tzinfo=UTC)
CONTROLLER = UUID("0195a000-0000-7000-8000-000000000001")
REQUEST = UUID("0195a000-0000-7000-8000-000000000002")
RUN = UUID("0195a000-0000-7000-8000-000000000003")
MODEL = UUID("0195a000-0000-7000-8000-000000000004")
ITEM = UUID("0195a000-0000-7000-8000-000000000005")
ENTRIES = 11  # 8 + 2 + 1: the last entry has no node above it


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a log of 11 entries and one that is not sequenced yet."""
    path = tmp_path_factory.mktemp("log") / "sound.db"
    database = Database(f"sqlite:///{path}")
    with database.write() as session:
        metadata.create_all(session.connection())
        for number in range(ENTRIES):
            append(session, item_moved(f"event_{number}"), now=NOW)
    with database.write() as session:
        sequence(session, now=NOW)
        append(session, item_moved("not_sequenced"), now=NOW)
    database.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


def item_moved(event: str) -> kinds.ItemMoved:
    return kinds.ItemMoved(
        controller=CONTROLLER,
        request=REQUEST,
        item=ITEM,
        model=MODEL,
        run=RUN,
        from_state="scheduled",
        to_state="running",
        event=event,
        actor=kinds.SERVICE,
    )


class Tampered:
    """One connection past the service, and the service's own check."""

    def __init__(self, path: Path) -> None:
        self.sql = sqlite3.connect(path, isolation_level=None)
        self.sql.execute("PRAGMA synchronous = OFF")
        self.database = Database(f"sqlite:///{path}")

    def check(self, batch: int = 4) -> CheckResult:
        with self.database.read() as session:
            return check(session, batch=batch)

    def close(self) -> None:
        self.sql.close()
        self.database.dispose()


@pytest.fixture
def log(sound: Path, tmp_path: Path) -> Iterator[Tampered]:
    path = tmp_path / "copy.db"
    shutil.copy(sound, path)
    tampered = Tampered(path)
    yield tampered
    tampered.close()


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 11, 1000])
def test_a_sound_log_is_found_sound_in_batches_of_any_size(log: Tampered, batch: int) -> None:
    with log.database.read() as session:
        root = head(session).root.hex()
    result = log.check(batch)
    assert result == CheckResult(entries=ENTRIES, pending=1, root_hex=root, first_fault=None)
    assert result.ok


def test_an_empty_log_is_sound(database: Database) -> None:
    with database.read() as session:
        result = check(session)
    assert (result.ok, result.entries, result.pending) == (True, 0, 0)
    assert result.root_hex.startswith("e3b0c442")  # SHA-256 of nothing


def test_a_change_of_any_byte_of_an_entry_is_found_and_the_entry_named(log: Tampered) -> None:
    for index in (6, ENTRIES - 1):
        read = 'SELECT body FROM audit_entries WHERE "index" = ?'
        body = log.sql.execute(read, (index,)).fetchone()[0]
        write = 'UPDATE audit_entries SET body = ? WHERE "index" = ?'
        for place in range(len(body)):
            changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
            log.sql.execute(write, (changed, index))
            fault = log.check(batch=1000).first_fault
            assert fault == f"entry {index}: its bytes do not have the stored hash"
        log.sql.execute(write, (body[:-1], index))
        assert not log.check().ok
        log.sql.execute(write, (body + b" ", index))
        assert not log.check().ok
        log.sql.execute(write, (body, index))
    assert log.check().ok


def test_a_change_of_any_byte_of_a_hash_is_found(log: Tampered) -> None:
    for table, column in (("audit_entries", "leaf_hash"), ("audit_nodes", "hash")):
        for row, digest in log.sql.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
            write = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
            for place in range(32):
                changed = digest[:place] + bytes([digest[place] ^ 0x80]) + digest[place + 1 :]
                log.sql.execute(write, (changed, row))
                assert not log.check(batch=1000).ok, (table, row, place)
            log.sql.execute(write, (digest, row))
    assert log.check().ok


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("kind", "erasure:item:move"),
        ("kind", ""),
        ("controller_id", RUN.hex),
        ("controller_id", None),
        ("controller_id", "not a uuid"),
        ("request_id", RUN.hex),
        ("request_id", None),
        ("run_id", MODEL.hex),
        ("run_id", None),
        ("created_at", "2026-03-01 12:30:05.000041"),
        ("created_at", "yesterday"),
        ("body", "text, not bytes"),
    ],
)
@pytest.mark.parametrize("table", ["audit_entries", "audit_pending"])
def test_a_column_that_does_not_say_what_the_bytes_say_is_found(
    log: Tampered, table: str, column: str, value: str | None
) -> None:
    log.sql.execute(
        f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT max(rowid) FROM {table})", (value,)
    )
    assert not log.check().ok
    assert not log.check(batch=1000).ok


def test_a_column_that_cannot_be_read_is_named_by_its_place(log: Tampered) -> None:
    unreadable = "UPDATE audit_entries SET run_id = CAST(x'ff' AS TEXT) WHERE \"index\" = 7"
    log.sql.execute(unreadable)
    fault = log.check().first_fault
    assert fault == "entry: the one after 6 has a column that cannot be read"


@pytest.mark.parametrize("index", range(ENTRIES - 1))
def test_an_entry_taken_out_is_found_and_named(log: Tampered, index: int) -> None:
    log.sql.execute('DELETE FROM audit_entries WHERE "index" = ?', (index,))
    result = log.check()
    assert result.first_fault == f"entry {index}: missing, the next index is {index + 1}"
    assert result.entries == index


def test_an_entry_taken_out_with_the_gap_closed_is_found(log: Tampered) -> None:
    log.sql.execute('DELETE FROM audit_entries WHERE "index" = 4')
    for index in range(5, ENTRIES):
        log.sql.execute(
            'UPDATE audit_entries SET "index" = ? WHERE "index" = ?', (index - 1, index)
        )
    assert log.check().first_fault == "node 2 of level 1: is not the hash of the entries below it"


def test_entries_cut_off_at_the_end_leave_nodes_without_entries(log: Tampered) -> None:
    log.sql.execute('DELETE FROM audit_entries WHERE "index" >= 9')
    assert log.check().first_fault == "node 4 of level 1: no entries below it"


def test_two_entries_that_change_places_are_found(log: Tampered) -> None:
    for first, second in ((0, 1), (3, 9), (8, 10)):
        _swap(log, first, second)
        assert not log.check().ok, (first, second)
        _swap(log, first, second)
    assert log.check().ok


def _swap(log: Tampered, first: int, second: int) -> None:
    write = 'UPDATE audit_entries SET "index" = ? WHERE "index" = ?'
    for new, old in ((-1, first), (first, second), (second, -1)):
        log.sql.execute(write, (new, old))


def test_an_entry_before_the_first_is_found(log: Tampered) -> None:
    _copy_entry(log, 0, -1)
    assert log.check().first_fault == "entry 0: missing, the next index is -1"


def test_an_entry_pushed_in_at_the_end_lacks_its_node(log: Tampered) -> None:
    _copy_entry(log, 0, ENTRIES)
    assert log.check().first_fault == "node 5 of level 1: missing"


def _copy_entry(log: Tampered, source: int, target: int) -> None:
    columns = "sequenced_at, kind, body, leaf_hash, controller_id, request_id, run_id, created_at"
    log.sql.execute(
        f'INSERT INTO audit_entries ("index", {columns}) '
        f'SELECT ?, {columns} FROM audit_entries WHERE "index" = ?',
        (target, source),
    )


def test_every_node_that_is_taken_out_is_found_and_named(log: Tampered) -> None:
    places = log.sql.execute('SELECT level, "index", hash FROM audit_nodes').fetchall()
    assert len(places) == 5 + 2 + 1  # of 11 leaves
    for level, index, digest in places:
        log.sql.execute('DELETE FROM audit_nodes WHERE level = ? AND "index" = ?', (level, index))
        assert log.check().first_fault == f"node {index} of level {level}: missing"
        log.sql.execute("INSERT INTO audit_nodes VALUES (?, ?, ?)", (level, index, digest))
    assert log.check().ok


@pytest.mark.parametrize(("level", "index"), [(0, 0), (-1, 0), (1, -1), (1, 5), (4, 0), (63, 0)])
def test_a_node_that_no_entries_complete_is_found(log: Tampered, level: int, index: int) -> None:
    log.sql.execute("INSERT INTO audit_nodes VALUES (?, ?, ?)", (level, index, b"x" * 32))
    assert log.check().first_fault == f"node {index} of level {level}: no entries below it"


def test_the_check_works_on_both_databases(database: Database) -> None:
    with database.write() as session:
        for number in range(70):
            append(session, item_moved(f"event_{number}"), now=NOW)
    with database.write() as session:
        sequence(session, now=NOW, limit=67)
    with database.read() as session:
        result = check(session, batch=16)
        assert result.root_hex == head(session).root.hex()
    assert (result.first_fault, result.entries, result.pending) == (None, 67, 3)
