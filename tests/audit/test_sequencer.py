import threading
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import event, func, insert, select

from app.audit import merkle
from app.audit.check import check
from app.audit.kinds import ArtifactDestroyed
from app.audit.log import append
from app.audit.merkle import EMPTY_ROOT
from app.audit.sequencer import Head, head, reader, sequence
from app.audit.tables import AuditEntry, AuditNode, PendingEntry
from app.db import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


def log(database: Database, count: int, *, first: int = 0) -> None:
    with database.write() as session:
        for number in range(first, first + count):
            append(session, ArtifactDestroyed(sha256=f"{number:064x}", reason="swept"), now=NOW)


def run(database: Database, limit: int = 1000) -> int:
    with database.write() as session:
        return sequence(session, now=LATER, limit=limit)


def bodies(database: Database) -> list[bytes]:
    with database.read() as session:
        return list(session.scalars(select(AuditEntry.body).order_by(AuditEntry.index)))


def head_of(database: Database) -> Head:
    with database.read() as session:
        return head(session)


def by_definition(entries: list[bytes]) -> bytes:
    """MTH as RFC 6962 section 2.1 writes it down."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return sha256(b"\x01" + by_definition(entries[:k]) + by_definition(entries[k:])).digest()


def test_an_empty_log_has_the_hash_of_nothing_as_root(database: Database) -> None:
    assert run(database) == 0
    assert head_of(database) == Head(0, EMPTY_ROOT)


def test_entries_get_consecutive_indexes_in_the_order_they_were_written(
    database: Database,
) -> None:
    log(database, 5)
    assert run(database) == 5
    log(database, 2, first=5)
    assert run(database) == 2
    with database.read() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.index)).all()
        assert session.scalar(select(func.count()).select_from(PendingEntry)) == 0
    assert [row.index for row in rows] == list(range(7))
    assert [f"{number:064x}".encode() in row.body for number, row in enumerate(rows)] == [True] * 7
    assert {row.sequenced_at for row in rows} == {LATER}
    assert {row.created_at for row in rows} == {NOW}


def test_the_root_is_the_one_by_definition_however_the_batches_fall(database: Database) -> None:
    written = 0
    for count, limit in ((1, 1000), (2, 1), (7, 3), (13, 1000), (40, 7)):
        log(database, count, first=written)
        written += count
        while run(database, limit):
            entries = bodies(database)
            assert head_of(database) == Head(len(entries), by_definition(entries))
    assert written == len(bodies(database)) == 63


def test_only_complete_subtrees_are_stored(database: Database) -> None:
    log(database, 7)
    run(database)
    with database.read() as session:
        places = set(session.execute(select(AuditNode.level, AuditNode.index)).all())
    assert places == {(1, 0), (1, 1), (1, 2), (2, 0)}


def test_a_batch_takes_no_more_than_its_limit(database: Database) -> None:
    log(database, 5)
    assert [run(database, 2), run(database, 2), run(database, 2), run(database, 2)] == [2, 2, 1, 0]


def test_a_sequencing_that_rolls_back_leaves_the_entries_pending(database: Database) -> None:
    log(database, 3)
    try:
        with database.write() as session:
            assert sequence(session, now=LATER) == 3
            raise InterruptedError
    except InterruptedError:
        pass
    assert bodies(database) == []
    assert run(database) == 3


def test_an_entry_that_commits_late_is_sequenced_later_not_lost(database: Database) -> None:
    """Ids are given before the commit, so a lower id may appear after a higher one was taken."""
    log(database, 2)
    with database.write() as session:
        row = session.scalars(select(PendingEntry).order_by(PendingEntry.id)).first()
        assert row is not None
        late = {column.name: getattr(row, column.name) for column in PendingEntry.__table__.columns}
        session.delete(row)
    assert run(database) == 1
    with database.write() as session:
        session.execute(insert(PendingEntry), [late])
    assert run(database) == 1
    assert len(bodies(database)) == 2


def test_writers_and_several_sequencers_at_once_make_one_sound_log(database: Database) -> None:
    failures: list[BaseException] = []

    def writing(first: int) -> None:
        for number in range(10):
            log(database, 2, first=first + 2 * number)

    def sequencing() -> None:
        for _ in range(12):
            run(database, 5)

    def guarded(work: object, *args: int) -> None:
        try:
            work(*args)  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(writing, 100 * n)) for n in range(3)]
    threads += [threading.Thread(target=guarded, args=(sequencing,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while run(database):
        pass
    assert failures == []
    with database.read() as session:
        result = check(session)
    assert (result.first_fault, result.entries, result.pending) == (None, 60, 0)
    assert len(set(bodies(database))) == 60


def test_the_searchable_columns_move_along(database: Database) -> None:
    controller = UUID("0195a000-0000-7000-8000-000000000001")
    with database.write() as session:
        facts = ArtifactDestroyed(controller=controller, sha256="b" * 64, reason="swept")
        append(session, facts, now=NOW)
    run(database)
    with database.read() as session:
        row = session.scalars(select(AuditEntry)).one()
    assert (row.kind, row.controller_id) == ("storage:artifact:destroyed", controller)


def test_the_nodes_of_a_proof_are_looked_up_and_the_table_is_not_read_whole(
    database: Database,
) -> None:
    asked: list[tuple[str, Any]] = []
    log(database, 40)
    run(database)
    with database.read() as session:
        connection = session.connection()

        @event.listens_for(connection, "before_cursor_execute")
        def note(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
            if "audit_nodes" in statement:
                asked.append((statement, values))

        merkle.inclusion_proof(3, 39, reader(session))
        [(statement, values)] = asked
        if database.is_sqlite:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", values).all()
    steps = " ".join(str(step) for step in plan)
    assert "SCAN audit_nodes" not in steps and "Seq Scan" not in steps, steps
