"""Every byte of a stored log, changed, and every row taken out, put in or moved: each is found.

The log is past its triggers here: whoever owns the database can take them away. A log cut off
whole, or an older copy of the database, is sound in itself: it is found against a checkpoint kept
elsewhere, and by the sealer. Not found are what the log does not claim: an entry that is appended,
as anybody who can write to the database may do, and one that is taken away before it has its place.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, func, select, update
from sqlalchemy.orm import Session

from app.audit import kinds, notes, sequencer
from app.audit.check import check
from app.audit.checkpoints import newest
from app.audit.log import append
from app.audit.notes import Checkpoint
from app.audit.tables import (
    AuditCheckpoint,
    AuditEntry,
    AuditNode,
    LogState,
    PendingEntry,
    SigningKey,
)
from app.db import Database
from app.schema import metadata
from app.signing import key_id
from tests.audit.logs import CONTROLLER, NOW, ORIGIN, Sealed, cut, signer, write

ENTRIES = 20
# Bookkeeping that nothing is concluded from, and no hash binds.
UNBOUND = {
    "audit_entries.sequenced_at",
    "audit_checkpoints.created_at",
    "audit_pending.id",
    "audit_log_state.id",
    "audit_log_state.rewound_at",
    "audit_log_state.rewound_reason",
    "audit_log_state.signed_size",
    "audit_log_state.signed_root",
}
TABLES: list[Any] = [
    AuditEntry.__table__,
    AuditNode.__table__,
    AuditCheckpoint.__table__,
    PendingEntry.__table__,
    SigningKey.__table__,
    LogState.__table__,
]
FLIPS = (0x01, 0x20, 0x80, 0x02)


class Counted:
    """One connection to a log, and a savepoint around each harm."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.session = connection, Session(connection)
        self.tried = self.found = 0
        self.missed: list[str] = []

    def harm(self, name: str, *statements: tuple[str, dict[str, Any]]) -> None:
        self.connection.exec_driver_sql("SAVEPOINT harm")
        for statement, values in statements:
            self.connection.exec_driver_sql(statement, values)
        self.tried += 1
        if check(self.session).ok:
            self.missed.append(name)
        else:
            self.found += 1
        self.connection.exec_driver_sql("ROLLBACK TO harm")


def small(number: int) -> kinds.ServiceResumed:
    return kinds.ServiceResumed(reason=f"n{number}", actor=kinds.SERVICE)


def with_ids(event: str) -> kinds.RequestMoved:
    return kinds.RequestMoved(
        controller=CONTROLLER,
        request=CONTROLLER,
        from_state="received",
        to_state="scheduled",
        event=event,
        actor=kinds.SERVICE,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 20 entries, two keys, checkpoints at several sizes, and two entries that wait."""
    folder = tmp_path_factory.mktemp("log")
    database = Database(f"sqlite:///{folder / 'log.db'}")
    with database.write() as session:
        metadata.create_all(session.connection())
    first, second = Sealed(database, folder), Sealed(database, folder, seed=2)
    with database.write() as session:
        append(session, with_ids("accepted"), now=NOW)
        for number in range(6):
            append(session, small(number), now=NOW)
    first.seal()
    write(database, 2, "more")
    second.seal(NOW.replace(hour=13))
    with database.write() as session:
        append(session, with_ids("again"), now=NOW)
        for number in range(ENTRIES - 13):
            append(session, small(6 + number), now=NOW)
    second.seal(NOW.replace(hour=14))
    with database.write() as session:
        append(session, with_ids("waits"), now=NOW)
    with database.read() as session:
        assert sequencer.size(session) == ENTRIES
    database.settle()
    database.dispose()
    return folder / "log.db"


@pytest.fixture
def log(built: Path, tmp_path: Path) -> Iterator[Counted]:
    shutil.copy(built, tmp_path / "log.db")
    database = Database(f"sqlite:///{tmp_path / 'log.db'}")
    with database.engine.connect() as connection:
        yield Counted(connection)
    database.dispose()


def rows(log: Counted, table: Table) -> list[dict[str, Any]]:
    found = log.connection.exec_driver_sql(f"SELECT rowid AS place, * FROM {table.name}")
    return [dict(row) for row in found.mappings()]


def all_found(log: Counted) -> None:
    print(f"\n{log.tried} mutations, {log.found} found")
    assert log.missed == [], (len(log.missed), log.missed[:12])
    assert log.found == log.tried > 0
    assert check(log.session).ok  # as it was before


def test_the_log_is_sound_before_it_is_harmed(log: Counted) -> None:
    result = check(log.session)
    assert (result.first_fault, result.entries, result.pending, result.checkpoints) == (
        None,
        ENTRIES,
        1,
        3,
    )


@pytest.mark.timeout(600)
def test_every_byte_of_every_column_that_changes_is_found(log: Counted) -> None:
    columns = {f"{table.name}.{column.name}" for table in TABLES for column in table.columns}
    assert columns > UNBOUND
    for table in TABLES:
        for row in rows(log, table):
            for column in table.columns:
                value = row[column.name]
                if f"{table.name}.{column.name}" in UNBOUND or isinstance(value, int | None):
                    continue  # numbers and what is empty are changed below
                _change_each_byte(log, table.name, column.name, row["place"], value)
    assert log.tried > 6000
    all_found(log)


def _change_each_byte(
    log: Counted, table: str, column: str, place: int, value: str | bytes
) -> None:
    content = value.encode() if isinstance(value, str) else value
    kind = "TEXT" if isinstance(value, str) else "BLOB"
    write = f'UPDATE {table} SET "{column}" = CAST(:new AS {kind}) WHERE rowid = :place'
    for at in range(len(content)):
        flip = FLIPS[(at + place) % len(FLIPS)]
        new = content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]
        log.harm(
            f"{table}.{column} byte {at} of row {place}", (write, {"new": new, "place": place})
        )


def test_every_value_that_is_cut_lengthened_emptied_or_of_another_type_is_found(
    log: Counted,
) -> None:
    for table in TABLES:
        for row in rows(log, table):
            for column in table.columns:
                value = row[column.name]
                if f"{table.name}.{column.name}" in UNBOUND:
                    continue
                for other in _others(value):
                    if other is None and not column.nullable:
                        continue
                    name = f"{table.name}.{column.name} of row {row['place']} to {other!r}"
                    write = f'UPDATE {table.name} SET "{column.name}" = :new WHERE rowid = :place'
                    log.harm(name, (write, {"new": other, "place": row["place"]}))
    all_found(log)


def _others(value: Any) -> list[Any]:
    if value is None:
        return ["", b"", "0" * 32, "2026-03-01 12:30:05.000040"]
    if isinstance(value, int):
        return [value + 100, -1 - value, value + 0.5, f"{value}x", b"x"]
    other_type = value.encode() if isinstance(value, str) else value.decode("latin-1")
    return [value[:-1], value[1:], value + value[-1:], value[:0], other_type, None]


def test_every_row_that_is_taken_out_is_found(log: Counted) -> None:
    for table in TABLES[:2] + TABLES[4:]:
        for row in rows(log, table):
            name = f"row {row['place']} of {table.name} out"
            log.harm(name, (f"DELETE FROM {table.name} WHERE rowid = :at", {"at": row["place"]}))
    all_found(log)


def test_every_row_that_is_put_in_is_found(log: Counted) -> None:
    for table in TABLES[:3] + TABLES[4:5]:
        keys = [column.name for column in table.primary_key]
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        for row in rows(log, table):
            for value in (_beyond(log, table, keys[-1]), -1, 0):
                new = {**row, keys[-1]: value}
                if any(all(new[key] == other[key] for key in keys) for other in rows(log, table)):
                    continue
                if table.name == "signing_keys":
                    new |= {"key_id": "0" * 64, "public": b"x" * 32}
                bound = ", ".join(f":{column.name}" for column in table.columns)
                insert = f"INSERT INTO {table.name} ({names}) VALUES ({bound})"
                log.harm(f"row like {row['place']} of {table.name} at {value}", (insert, new))
    all_found(log)


def _beyond(log: Counted, table: Table, key: str) -> Any:
    if table.name == "signing_keys":
        return "f" * 64
    # Two beyond: one entry more at the very end is just that.
    return log.connection.scalar(select(func.max(table.c[key]))) + 2


def test_every_two_rows_that_change_places_are_found(log: Counted) -> None:
    for table, moved in (
        ("audit_entries", '"index"'),
        ("audit_nodes", "hash"),
        ("audit_checkpoints", "note"),
        ("audit_checkpoints", "root_hash"),
        ("signing_keys", "public"),
        ("signing_keys", "created_at"),
    ):
        read = f"SELECT rowid, {moved} FROM {table}"
        found = log.connection.exec_driver_sql(read).all()
        write = f"UPDATE {table} SET {moved} = :new WHERE rowid = :place"
        aside = -1 if moved == '"index"' else b"aside"
        for at, (place, value) in enumerate(found):
            for other, its_value in found[at + 1 :]:
                log.harm(
                    f"{moved} of rows {place} and {other} of {table}",
                    (write, {"new": aside, "place": place}),
                    (write, {"new": value, "place": other}),
                    (write, {"new": its_value, "place": place}),
                )
    all_found(log)


@pytest.fixture
def whole(built: Path, tmp_path: Path) -> Iterator[Sealed]:
    """The same log with its sealer."""
    for file in built.parent.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path / file.name)
    database = Database(f"sqlite:///{tmp_path / 'log.db'}")
    yield Sealed(database, tmp_path, seed=2)
    database.dispose()


def fault(sealed: Sealed, since: Checkpoint | None = None) -> str | None:
    with sealed.database.read() as session:
        return check(session, since=since).first_fault


def kept(sealed: Sealed) -> Checkpoint:
    with sealed.database.read() as session:
        stored = newest(session)
    assert stored is not None
    return notes.parse(stored.note).checkpoint


@pytest.mark.parametrize("size", range(12, ENTRIES))
def test_a_log_cut_off_whole_is_found_by_who_kept_a_checkpoint_and_by_the_sealer(
    whole: Sealed, size: int
) -> None:
    witness = kept(whole)
    assert fault(whole, witness) is None
    cut(whole.database, size)
    assert fault(whole) is None  # in itself it is a sound log
    said = fault(whole, witness)
    assert said is not None and "was cut" in said
    assert whole.seal() is None
    with whole.database.read() as session:
        state = session.get_one(LogState, 1)
        assert state.rewound_reason == "smaller"


def test_a_log_that_was_written_anew_is_found_by_who_kept_a_checkpoint_and_by_the_sealer(
    whole: Sealed,
) -> None:
    witness = kept(whole)
    cut(whole.database, 12)
    write(whole.database, 30, "forged")
    with whole.database.write() as session:
        sequencer.sequence(session, now=NOW)
    assert fault(whole) is None
    said = fault(whole, witness)
    assert said is not None and "not those of the checkpoint" in said
    assert whole.seal() is None


def test_a_restored_copy_of_the_database_is_found(whole: Sealed, tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    whole.database.settle()
    shutil.copy(path, tmp_path / "old.db")
    write(whole.database, 4, "later")
    assert whole.seal() is not None
    witness = kept(whole)
    whole.database.dispose()
    shutil.copy(tmp_path / "old.db", path)
    for side in ("-wal", "-shm"):
        (tmp_path / f"log.db{side}").unlink(missing_ok=True)
    assert fault(whole) is None
    said = fault(whole, witness)
    assert said is not None and "was cut" in said
    assert whole.seal() is None


@pytest.mark.parametrize("size", [3, 9, ENTRIES])
def test_a_checkpoint_of_a_fork_is_found_though_the_key_itself_signed_it(
    whole: Sealed, size: int
) -> None:
    forged = Checkpoint(ORIGIN, size, b"f" * 32)
    note = notes.signed(forged, whole.signer.public, whole.signer.sign(forged.text.encode())).note
    with whole.database.write() as session:
        session.merge(
            AuditCheckpoint(tree_size=size, root_hash=forged.root, note=note, created_at=NOW)
        )
    said = fault(whole)
    assert said == f"checkpoint {size}: its root is not that of the entries before it"


def test_a_checkpoint_that_is_played_back_at_another_size_is_found(whole: Sealed) -> None:
    with whole.database.write() as session:
        old = session.scalars(select(AuditCheckpoint).order_by(AuditCheckpoint.tree_size)).first()
        assert old is not None
        session.execute(
            update(AuditCheckpoint)
            .where(AuditCheckpoint.tree_size == ENTRIES)
            .values(note=old.note, root_hash=old.root_hash)
        )
    assert fault(whole) == f"checkpoint {ENTRIES}: its root is not that of the entries before it"


def test_a_checkpoint_by_a_key_that_the_log_never_adopted_is_found(whole: Sealed) -> None:
    stranger = signer(3)
    head = kept(whole)
    note = notes.signed(head, stranger.public, stranger.sign(head.text.encode())).note
    with whole.database.write() as session:
        session.execute(
            update(AuditCheckpoint).where(AuditCheckpoint.tree_size == ENTRIES).values(note=note)
        )
    assert fault(whole) == f"checkpoint {ENTRIES}: not signed by a key of this log"
    with whole.database.write() as session:
        session.add(
            SigningKey(key_id=key_id(stranger.public), public=stranger.public, created_at=NOW)
        )
    said = fault(whole)
    assert said is not None and said.endswith("the log says otherwise of it")
