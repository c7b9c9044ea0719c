"""An empty database of each dialect: SQLite always, PostgreSQL where a server is named."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from app import migrate
from app.db import Database

SERVER = os.environ.get("LOTUS_TEST_DATABASE_URL")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'lotus.db'}")
        yield database
        database.dispose()
        return
    if not SERVER:
        pytest.skip("LOTUS_TEST_DATABASE_URL names no server")
    with database_of_its_own(SERVER) as database:
        yield database


@pytest.fixture
def database(empty_database: Database) -> Database:
    """At the newest revision."""
    migrate.upgrade(empty_database)
    return empty_database


@contextmanager
def database_of_its_own(server: str) -> Iterator[Database]:
    """A database of this test's own on the server, dropped at the end."""
    name = f"lotus_test_{secrets.token_hex(6)}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    database = Database(make_url(server).set(database=name), pool_size=4)
    try:
        yield database
    finally:
        database.dispose()
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()
