"""Brings the database to the schema that this code expects: one chain of scripts for both dialects.

Every function runs in one transaction, so a script that fails leaves the database as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection

from app.db import Database

HEAD = "head"
# Any number will do, as long as nothing else in the database locks the same one.
_LOCK = 0x6C6F7475735F6D67


class UnknownRevision(RuntimeError):
    """The database was brought up by code that is newer than this."""


def upgrade(database: Database, revision: str = HEAD) -> None:
    """Does nothing where the database is there already. Processes that start together take
    turns."""
    with _alone(database) as config:
        command.upgrade(config, revision)


def downgrade(database: Database, revision: str) -> None:
    """`base` takes every table away."""
    with _alone(database) as config:
        command.downgrade(config, revision)


def current_revision(database: Database) -> str | None:
    """None for an empty database."""
    with database.read() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def is_current(database: Database) -> bool:
    return current_revision(database) == _newest()


@cache
def _newest() -> str | None:
    """Read from the scripts once: health checks ask often, and code does not change under them."""
    return _scripts(_config()).get_current_head()


@contextmanager
def _alone(database: Database) -> Iterator[Config]:
    with database.write() as session:
        connection = session.connection()
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            # Better to fail than to stand in front of everybody else's locks.
            connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        config = _config(connection)
        _refuse_unknown(config, connection)
        yield config


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
