"""Brings the database to the schema that this code expects: one chain of scripts for both dialects.

Every function runs in one transaction, so a script that fails leaves the database as it was.
Processes that migrate at once take turns: on PostgreSQL by an advisory lock, on SQLite because one
transaction writes at a time.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.db import Database

HEAD = "head"
# Any number will do, as long as nothing else in the database locks the same one.
LOCK = 0x6C6F7475735F6D67
# How long a process waits for another that migrates.
TURN_SECONDS = 120.0
# How long a script waits for a table that the service uses. Short, because everybody who comes
# later queues behind the waiting script.
TABLE_SECONDS = 10.0
# A statement that works longer has to be made a job of its own, beside the running service.
STATEMENT_SECONDS = 600.0
_LOCK_NOT_AVAILABLE = "55P03"


class UnknownRevision(RuntimeError):
    """The database was brought up by code that is newer than this."""


class Busy(RuntimeError):
    """Another process holds what the migration needs. Nothing was changed."""


def upgrade(database: Database, revision: str = HEAD, *, wait: float = TURN_SECONDS) -> None:
    """Does nothing where the database is there already. Waits for its turn so many seconds, then
    raises Busy."""
    with _alone(database, wait) as config:
        command.upgrade(config, revision)


def downgrade(database: Database, revision: str) -> None:
    """`base` takes every table away."""
    with _alone(database) as config:
        command.downgrade(config, revision)


@contextmanager
def _alone(database: Database, wait: float = TURN_SECONDS) -> Iterator[Config]:
    with ExitStack() as stack:
        session = _turn(stack, database, wait)
        connection = session.connection()
        config = _config(connection)
        _refuse_unknown(config, connection)
        try:
            yield config
            _check_foreign_keys(database, connection)
        except OperationalError as error:
            if _is_lock_timeout(error):
                raise Busy(
                    f"The service holds a table that must change, and did not let go of it within "
                    f"{TABLE_SECONDS:.0f} s. Nothing was changed: try again, or stop the service."
                ) from None
            raise


def _turn(stack: ExitStack, database: Database, wait: float) -> Session:
    """A transaction in which nobody else migrates."""
    try:
        session = stack.enter_context(database.write(wait=wait, rebuilds=True))
        connection = session.connection()
        if not database.is_sqlite:
            _limit(connection, lock_timeout=wait)
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            _limit(connection, lock_timeout=TABLE_SECONDS, statement_timeout=STATEMENT_SECONDS)
    except OperationalError as error:
        if _is_lock_timeout(error) or _is_busy_sqlite(error):
            raise Busy(
                f"Another process migrates or writes to the database, and did not end within "
                f"{wait:.0f} s. Nothing was changed: try again."
            ) from None
        raise
    return session


def _check_foreign_keys(database: Database, connection: Connection) -> None:
    if database.is_sqlite:
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise RuntimeError(f"a script left a row of {broken[0]} that refers to nothing")


def _limit(connection: Connection, **seconds: float) -> None:
    """For this transaction only. PostgreSQL takes no bound parameter here."""
    for name, value in seconds.items():
        connection.execute(text(f"SET LOCAL {name} = {int(value * 1000)}"))


def _is_lock_timeout(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def _is_busy_sqlite(error: OperationalError) -> bool:
    """Behind a writer of this process, or of another."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return isinstance(error.orig, TimeoutError) or code == sqlite3.SQLITE_BUSY


def _refuse_unknown(config: Config, connection: Connection) -> None:
    revision = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in _scripts(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise UnknownRevision(
            f"The database is at revision {revision}, which this version does not know. "
            "Run the newer version, or restore a backup made with this one."
        )


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    # Alembic reads options through configparser, where a % means something.
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def _scripts(config: Config) -> ScriptDirectory:
    return ScriptDirectory.from_config(config)


def draft(database: Database, message: str) -> str:
    """Writes the script that leads from `database`, at the newest revision, to the tables in the
    code; returns its path. For developers: read it before you keep it."""
    with _alone(database) as config:
        number = len(list(_scripts(config).walk_revisions())) + 1
        script = command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")
    if script is None or isinstance(script, list):
        raise RuntimeError("one script was expected")
    return script.path
