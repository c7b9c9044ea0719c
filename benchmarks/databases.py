"""Databases for the programs that measure the service, and settings of a service on one of them."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.config import Settings
from app.db import Database
from tests.databases import database_of_its_own, fleet_settings
from tests.servers import create_cluster, folder_for, postgresql_programs, running_cluster

# PostgreSQL with its own defaults: it waits for the disk, and keeps statistics of its tables. The
# tests' own server does neither.
AS_IT_COMES: dict[str, str] = {}


@contextmanager
def databases(dialect: str) -> Iterator[Database]:
    """An empty one. PostgreSQL is started for it in a temporary folder from installed programs;
    SystemExit if there are none."""
    if dialect == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            database = Database(f"sqlite:///{folder}/lotus.db")
            yield database
            database.dispose()
        return
    programs = postgresql_programs()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed: --database sqlite")
    with folder_for("lotus-benchmark-") as home:
        create_cluster(programs, home)
        with (
            running_cluster(programs, home, AS_IT_COMES, end=signal.SIGQUIT) as server,
            database_of_its_own(server) as database,
        ):
            yield database


def settings_for(database: Database, folder: Path) -> Settings:
    if database.is_sqlite:
        url = database.url.render_as_string()
        return Settings(data_dir=folder, database_url=url)
    return Settings(data_dir=folder, **fleet_settings(database))
