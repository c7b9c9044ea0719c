"""A database of each dialect for every test that asks for one: SQLite always, PostgreSQL where
`tests.servers` finds or starts a server."""

import base64
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from app import migrate
from app.db import Database
from tests.copies import Copies, create_database, drop_database

DIALECTS = ("sqlite", "postgresql")
MakeDatabase = Callable[[], AbstractContextManager[Database]]


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def empty_database(
    dialect: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Database]:
    """Without a table."""
    if dialect == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'lotus.db'}")
        yield database
        database.dispose()
        return
    with database_of_its_own(request.getfixturevalue("postgresql")) as database:
        yield database


@pytest.fixture
def database(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """At the newest revision; on SQLite, where a service with `tmp_path / "data"` looks for it."""
    if dialect == "sqlite":
        path = tmp_path / "data" / "lotus.db"
        path.parent.mkdir()
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        database = Database(f"sqlite:///{path}")
        yield database
        database.dispose()
        return
    with request.getfixturevalue("copies").lend() as database:
        yield database


@pytest.fixture
def make_database(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> MakeDatabase:
    """Each call makes another one: at the newest revision, and gone when its block ends."""
    if dialect == "postgresql":
        copies: Copies = request.getfixturevalue("copies")
        return copies.lend
    migrated: Path = request.getfixturevalue("migrated_file")

    @contextmanager
    def copied() -> Iterator[Database]:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            shutil.copy(migrated, Path(folder) / "lotus.db")
            database = Database(f"sqlite:///{Path(folder) / 'lotus.db'}")
            yield database
            database.dispose()

    return copied


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file at the newest revision, made by the migrations and copied by each test."""
    path = tmp_path_factory.mktemp("migrated") / "lotus.db"
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.dispose()
    return path


@pytest.fixture(scope="session")
def copies(postgresql: str) -> Iterator[Copies]:
    """The same on PostgreSQL: copies of a database that the migrations made."""
    with database_of_its_own(postgresql) as database:
        migrate.upgrade(database)
        database.dispose()
        assert database.url.database is not None
        copies = Copies(postgresql, like=database.url.database)
        yield copies
        copies.close()


@contextmanager
def database_of_its_own(server: str) -> Iterator[Database]:
    """Without a table, and dropped at the end."""
    name = create_database(server, like="template1")
    database = Database(make_url(server).set(database=name), pool_size=4)
    try:
        yield database
    finally:
        database.dispose()
        drop_database(server, name)


def fleet_settings(database: Database) -> dict[str, Any]:
    """What a service on a database server must be told: nobody may invent its secrets."""
    key = base64.b64encode(bytes(32)).decode()
    return {
        "database_url": database.url.render_as_string(hide_password=False),
        "secret_key": key,
        "pseudonym_key": f"k1:{key}",
        "suppression_key": key,
    }


def service_environment(database: Database) -> dict[str, str]:
    """The same as variables, for a service in a process of its own."""
    if database.is_sqlite:
        return {"LOTUS_DATABASE_URL": database.url.render_as_string()}
    return {f"LOTUS_{name.upper()}": value for name, value in fleet_settings(database).items()}
