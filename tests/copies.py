"""Databases of a PostgreSQL server at the newest revision, lent to one test after another.

Copying a database takes longer than most tests, so one that comes back is emptied and lent again.
Nobody may see what an earlier test did: a database is dropped instead if somebody is still
connected, if anything but rows has changed in it, or if many rows were written.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

from app.db import Database

# Deleted rows stay in the files, since nothing vacuums them.
MOST_LOANS = 50
MOST_ROWS = 20_000
# The server notices a moment later that a client has gone.
LEAVING_SECONDS = 0.5
Connection = psycopg.Connection[tuple[object, ...]]


def create_database(server: str | URL, *, like: str) -> str:
    """The name of a new copy."""
    name = f"lotus_test_{secrets.token_hex(6)}"
    _command(server, f"CREATE DATABASE {name} TEMPLATE {like}")
    return name


def drop_database(server: str | URL, name: str) -> None:
    _command(server, f"DROP DATABASE {name} WITH (FORCE)")


def _command(server: str | URL, statement: str) -> None:
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(statement))
    admin.dispose()


class Copies:
    """Copies of the database `like`, to which nobody is connected."""

    def __init__(self, server: str, like: str) -> None:
        self.server = make_url(server)
        self.like = like
        self._idle: list[_Copy] = []

    @contextmanager
    def lend(self) -> Iterator[Database]:
        copy = self._idle.pop() if self._idle else self._made()
        database = Database(copy.url, pool_size=4)
        try:
            yield database
        finally:
            database.dispose()
            if copy.restored():
                self._idle.append(copy)
            else:
                drop_database(self.server, copy.name)

    def close(self) -> None:
        while self._idle:
            drop_database(self.server, self._idle.pop().name)

    def _made(self) -> "_Copy":
        name = create_database(self.server, like=self.like)
        return _Copy(self.server.set(database=name), name)


class _Copy:
    """Keeps how it began: what it needs to be so again, and to see that it cannot."""

    def __init__(self, url: URL, name: str) -> None:
        self.url = url
        self.name = name
        self._loans = 0
        with self._connected() as connection:
            self._tables = [sql.Identifier(str(name)) for (name,) in connection.execute(_TABLES)]
            self._rows = [(table, _read(connection, table)) for table in self._tables]
            self._sequences = connection.execute(_SEQUENCES).fetchall()
            self._catalogs = _question(connection)
            self._schema = connection.execute(self._catalogs).fetchall()

    def restored(self) -> bool:
        """Whether it is as it began. If not, it is of no more use."""
        self._loans += 1
        if self._loans == MOST_LOANS:
            return False
        with self._connected() as connection:
            if not _alone(connection):
                return False
            if connection.execute(self._catalogs).fetchall() != self._schema:
                return False
            try:
                # Silences foreign keys, and the triggers that keep the log append-only.
                connection.execute("SET session_replication_role = replica")
            except psycopg.errors.InsufficientPrivilege:
                return False
            if self._emptied(connection) > MOST_ROWS:
                return False
            for table, rows in self._rows:
                _write(connection, table, rows)
            for sequence, value, called in self._sequences:
                connection.execute("SELECT setval(%s::regclass, %s, %s)", (sequence, value, called))
        return True

    def _emptied(self, connection: Connection) -> int:
        """How many rows there were."""
        each = [sql.SQL("DELETE FROM {}").format(table) for table in self._tables]
        deleted = connection.execute(sql.SQL(";").join(each))
        count = deleted.rowcount
        while deleted.nextset():
            count += deleted.rowcount
        return count

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        _, arguments = self.url.get_dialect()().create_connect_args(self.url)
        with psycopg.connect(**arguments, autocommit=True) as connection:
            yield connection


_TABLES = """SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"""
_SEQUENCES = """SELECT format('%I.%I', schemaname, sequencename),
        coalesce(last_value, start_value), last_value IS NOT NULL
    FROM pg_sequences"""
_CATALOGS = """SELECT relname FROM pg_class
    WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared"""


def _question(connection: Connection) -> sql.Composed:
    """Answered otherwise as soon as any row of the system's tables was added, changed or removed:
    each new row bears the number of a later transaction."""
    catalogs = [
        sql.SQL("SELECT {}::text, count(*), max(xmin::text::bigint)::text FROM {}").format(
            sql.Literal(name), sql.Identifier("pg_catalog", str(name))
        )
        for (name,) in connection.execute(_CATALOGS).fetchall()
    ]
    # These are shared by all databases, or rewritten in place.
    others = sql.SQL("""
        SELECT 'counted', sum(relpages), sum(reltuples)::text FROM pg_class
        UNION ALL SELECT 'database', 1, xmin::text FROM pg_database
            WHERE datname = current_database()
        UNION ALL SELECT 'settings', 1, setconfig::text FROM pg_db_role_setting
            JOIN pg_database ON pg_database.oid = setdatabase WHERE datname = current_database()
        ORDER BY 1, 3""")
    return sql.SQL(" UNION ALL ").join([*catalogs, others])


def _alone(connection: Connection) -> bool:
    end = time.monotonic() + LEAVING_SECONDS
    while True:
        others = connection.execute("""SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()""").fetchone()
        if others == (0,):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.005)


def _read(connection: Connection, table: sql.Identifier) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(table)) as rows:
        return b"".join(bytes(part) for part in rows)


def _write(connection: Connection, table: sql.Identifier, rows: bytes) -> None:
    if rows:
        with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(table)) as writing:
            writing.write(rows)
