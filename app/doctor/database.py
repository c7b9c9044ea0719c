"""The database: whether it answers, its tables, its durability, its clock."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import clock as clocks
from app import revisions
from app.db import Database
from app.doctor.findings import Finding, ok, problem, warning

OLDEST_POSTGRESQL = 13
CLOCK_WARNING = timedelta(seconds=2)


def reachable(database: Database) -> Finding:
    try:
        with database.read() as session:
            if database.is_sqlite:
                version = f"SQLite {session.scalar(text('SELECT sqlite_version()'))}"
                session.execute(text("SELECT count(*) FROM sqlite_master"))
            else:
                version = f"PostgreSQL {session.scalar(text('SHOW server_version'))}"
    except SQLAlchemyError as error:
        where = "Is the file whole" if database.is_sqlite else "Is the server up, and its address"
        return problem(
            "database",
            f"does not answer ({type(getattr(error, 'orig', None) or error).__name__})",
            f"{where} and LOTUS_DATABASE_URL right? Restore a backup only if it is lost.",
        )
    return ok("database", f"{version} answers")


def schema(database: Database) -> Finding:
    revision = revisions.current(database)
    if revisions.is_current(database):
        return ok("schema", f"revision {revision}, which is this version's")
    if revision is None:
        return problem("schema", "no tables", "Run `lotus migrate`, or set LOTUS_DATABASE_URL.")
    return problem(
        "schema",
        f"revision {revision} is not this version's",
        "Run `lotus migrate`. If it says that it does not know the revision, the database was used "
        "by a newer version: run that one.",
    )


def durability(session: Session) -> Iterator[Finding]:
    if session.get_bind().dialect.name == "sqlite":
        yield _sqlite(session)
    else:
        yield from _postgresql(session)


def _sqlite(session: Session) -> Finding:
    journal = session.scalar(text("PRAGMA journal_mode"))
    synchronous = session.scalar(text("PRAGMA synchronous"))
    if journal != "wal" or synchronous != 2:
        return problem(
            "durability",
            f"journal mode {journal}, synchronous {synchronous}",
            "Put the data folder on a local disk: SQLite's WAL needs one.",
        )
    damage = session.scalar(text("PRAGMA quick_check(1)"))
    if damage != "ok":
        return problem(
            "durability", "the file is damaged", "Stop the service and restore a backup."
        )
    return ok("durability", "WAL, synchronous full, no damage")


def _postgresql(session: Session) -> Iterator[Finding]:
    major = int(session.scalar(text("SHOW server_version_num")) or 0) // 10_000
    if major < OLDEST_POSTGRESQL:
        yield problem(
            "durability",
            f"PostgreSQL {major} is older than {OLDEST_POSTGRESQL}",
            "Upgrade the server.",
        )
    for setting in ("fsync", "full_page_writes"):
        if session.scalar(text(f"SHOW {setting}")) != "on":
            yield problem(
                "durability",
                f"{setting} is off: a power cut can damage the database",
                f"Set {setting} = on in postgresql.conf and reload.",
            )
    commit = session.scalar(text("SHOW synchronous_commit"))
    if commit == "off":
        yield problem(
            "durability",
            "synchronous_commit is off: accepted requests are lost in a power cut",
            "Set synchronous_commit = on for this database.",
        )
    if session.scalar(text("SELECT pg_is_in_recovery()")):
        yield problem(
            "durability", "the server is a standby", "Point LOTUS_DATABASE_URL at the primary."
        )
    limits = {
        name: session.scalar(text(f"SHOW {name}"))
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    }
    shown = ", ".join(f"{name} {value}" for name, value in limits.items())
    yield ok("durability", f"synchronous_commit {commit}; {shown}")


def clock(session: Session, here: Callable[[], datetime]) -> Finding:
    """`here` reads this machine's clock."""
    if session.get_bind().dialect.name == "sqlite":
        return ok("clock", "database and service share the machine's")
    apart = abs(clocks.skew(session, here))
    said = f"this machine and the database are {apart.total_seconds():.1f} s apart"
    action = "Let a time service (chrony, NTP) set both clocks; leases depend on them."
    if apart > clocks.MOST_SKEW:
        return problem("clock", said, action)
    return warning("clock", said, action) if apart > CLOCK_WARNING else ok("clock", said)
