"""The database: engine, sessions, and the column types that both dialects share.

Two kinds of session exist. A read session is for reading, and takes no lock that a writer waits
for. A write session begins with `BEGIN IMMEDIATE` on SQLite, so that a transaction either owns the
write lock from its first statement or waits for it; a transaction that reads first and writes later
would fail half-way.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CursorResult,
    Dialect,
    Engine,
    Enum,
    Integer,
    MetaData,
    String,
    create_engine,
    event,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import URL, Connection, ExceptionContext, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import DateTime, TypeDecorator

if TYPE_CHECKING:
    import sqlite3  # 2 MB that a process on PostgreSQL goes without

log = logging.getLogger("lotus.db")

# How long a writer waits for the lock before the caller is told to come back.
WRITE_WAIT_SECONDS = 30.0
# How long nobody may answer on a connection to PostgreSQL. A firewall that forgot it, or a host
# that went away, says nothing, and without these whoever uses it would wait for a quarter of an
# hour. What a URL says itself counts.
SILENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: with its zone on PostgreSQL, as UTC on SQLite. Naive values are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite only auto-increments INTEGER PRIMARY KEY; PostgreSQL needs 64 bits for sample rows.
BigId = BigInteger().with_variant(Integer(), "sqlite")
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Sha256Hex = String(64)


def enum_text(kind: type[StrEnum]) -> Enum:
    """A StrEnum kept as text with a CHECK, so that the database refuses an unknown state too."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        length=40,
        values_callable=lambda members: [member.value for member in members],
    )


def rows_changed(result: object) -> int:
    """How many rows an UPDATE or DELETE that was executed changed."""
    assert isinstance(result, CursorResult)
    return result.rowcount


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: Json,
        list[Any]: Json,
    }


class Database:
    """One engine, and a session for each of the two ways of using it."""

    def __init__(
        self, url: str | URL, *, pool_size: int = 20, page_cache_kib: int | None = None
    ) -> None:
        """`page_cache_kib`: how much of an SQLite file each connection may hold in memory; 2 MB if
        nobody says."""
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        told = (
            {} if self.is_sqlite else {k: v for k, v in SILENCE.items() if k not in self.url.query}
        )
        self.engine = create_engine(
            self.url,
            connect_args={} if self.is_sqlite else told,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            # Else each of the connections that a rush once needed is used in turn ever after, and
            # each fills its own caches and prepares every statement.
            pool_use_lifo=True,
            hide_parameters=True,  # errors are logged, and a bound value may be a reference
        )
        if self.is_sqlite:
            _create_private(self.url.database)
            _prepare_sqlite(self.engine, page_cache_kib)
        else:
            _keep_rows_out_of_errors(self.engine)
        # Objects stay readable after the commit, which happens at the edge, after the service ran.
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._writers: dict[tuple[float, bool], Engine] = {}

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self._sessions() as session:
            yield session

    @contextmanager
    def write(
        self, *, wait: float = WRITE_WAIT_SECONDS, rebuilds: bool = False
    ) -> Iterator[Session]:
        """One transaction: commits at the end, rolls back on any exception, then runs what
        `after_commit` collected. On SQLite it waits so many seconds for its turn at most, then
        raises OperationalError.

        `rebuilds` is for migrations: SQLite changes a table by copying and dropping it, which
        foreign keys would forbid, so whoever asks for it checks them at the end."""
        if (wait, rebuilds) not in self._writers:
            self._writers[wait, rebuilds] = self.engine.execution_options(
                lotus_write_wait=wait, lotus_rebuilds=rebuilds
            )
        with self._sessions(bind=self._writers[wait, rebuilds]) as session:
            with session.begin():
                yield session
            for name, action in session.info.pop("after_commit", {}).items():
                try:
                    action()
                except Exception:  # what has committed has not failed
                    log.exception("not done after a commit: %s", name)

    def settle(self) -> None:
        """On SQLite: moves the journal into the file, so that it keeps no deleted content either.
        If readers are in the way, a later call does."""
        if self.is_sqlite:
            with self.engine.connect() as connection:
                connection.rollback()
                raw = connection.connection.driver_connection
                assert raw is not None
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def dispose(self) -> None:
        self.engine.dispose()


def after_commit(session: Session, name: str, action: Any) -> None:
    """Call `action` once when this write session has committed; the same name replaces itself."""
    session.info.setdefault("after_commit", {})[name] = action


def _keep_rows_out_of_errors(engine: Engine) -> None:
    """PostgreSQL explains an error with the row in question, whatever our side hides."""

    @event.listens_for(engine, "handle_error")
    def shorten(context: ExceptionContext) -> None:
        original, wrapped = context.original_exception, context.sqlalchemy_exception
        said = getattr(getattr(original, "diag", None), "message_primary", None)
        if said is None or wrapped is None:
            return
        sqlstate = getattr(original, "sqlstate", None) or ""
        # A data exception (class 22) names the value in its first line already.
        short = "a value was refused" if sqlstate.startswith("22") else said
        short = f"{short} ({sqlstate})"
        wrapped.args = tuple(str(part).replace(str(original), short) for part in wrapped.args)
        original.args = (short,)


def _create_private(path: str | None) -> None:
    """The database holds keyed references of persons: for the service's own user alone."""
    if path and path != ":memory:":
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _say(connection: Connection, name: str, value: str) -> None:
    """A setting of the connection, unless it is so already."""
    if connection.info.get(name) != value:
        connection.exec_driver_sql(f"PRAGMA {name} = {value}")
        connection.info[name] = value


def _prepare_sqlite(engine: Engine, page_cache_kib: int | None) -> None:
    # Writers of one process queue here: threads that fight over SQLite's own lock back off
    # blindly and starve each other.
    turn = threading.Lock()

    @event.listens_for(engine, "connect")
    def configure(connection: "sqlite3.Connection", record: object) -> None:
        connection.isolation_level = None  # transactions begin below, not by the driver's guess
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(WRITE_WAIT_SECONDS * 1000)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # an accepted request survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        # What is deleted is overwritten: closing a case leaves no reference in the free pages.
        cursor.execute("PRAGMA secure_delete = ON")
        if page_cache_kib is not None:
            cursor.execute(f"PRAGMA cache_size = {-page_cache_kib}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        wait = connection.get_execution_options().get("lotus_write_wait")
        if wait is None:
            connection.exec_driver_sql("BEGIN")
            return
        if not turn.acquire(timeout=wait):
            raise OperationalError("BEGIN IMMEDIATE", None, TimeoutError("database is busy"))
        connection.info["lotus_turn"] = True
        try:
            keys = "OFF" if connection.get_execution_options().get("lotus_rebuilds") else "ON"
            _say(connection, "busy_timeout", str(int(wait * 1000)))
            _say(connection, "foreign_keys", keys)  # not heard later
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except BaseException:
            connection.info.pop("lotus_turn", None)
            turn.release()
            raise

    # On return to the pool the transaction is over in every way it can end. (The `commit` event
    # fires before the commit, so releasing there would send the next writer against the lock.)
    @event.listens_for(engine, "checkin")
    def release(connection: object, record: ConnectionPoolEntry) -> None:
        if record.info.pop("lotus_turn", None):
            turn.release()
