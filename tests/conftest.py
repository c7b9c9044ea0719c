"""What most tests need: a data folder with a migrated database, and a client with a key."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db import Database
from app.keys import service as keys
from app.keys.scopes import ALL_SCOPES, Scope
from app.runtime import Runtime
from tests.apps import app_for
from tests.databases import (
    copies,
    database,
    dialect,
    empty_database,
    fleet_settings,
    make_database,
    migrated_file,
)
from tests.engines import share_compiled_statements
from tests.servers import postgresql, redis_url
from tests.sessions import keep_files_in_memory, slow_first

__all__ = [
    "copies",
    "database",
    "dialect",
    "empty_database",
    "make_database",
    "migrated_file",
    "postgresql",
    "redis_url",
]

MakeKey = Callable[..., str]


def pytest_configure() -> None:
    keep_files_in_memory(os.environ)
    share_compiled_statements()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow_first(items)


@pytest.fixture
def settings(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A data folder of this test's own, over a migrated database of each dialect."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LOTUS_{name.upper()}", raising=False)
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    if database.is_sqlite:
        return Settings(data_dir=data)
    return Settings(data_dir=data, **fleet_settings(database))


@pytest.fixture
def runtime(settings: Settings) -> Iterator[Runtime]:
    runtime = Runtime.open(settings)
    yield runtime
    runtime.close()


@pytest.fixture
def make_key(runtime: Runtime) -> MakeKey:
    """`make_key(*scopes, controller="default")` gives the plaintext of a new key."""

    def make(*scopes: Scope, controller: str = keys.DEFAULT_CONTROLLER) -> str:
        now = datetime.now(UTC)
        with runtime.database.write() as session:
            owner = keys.ensure_controller(session, controller, now=now)
            _, plaintext = keys.create_key(
                session,
                runtime.keyring,
                controller=owner.id,
                name="test",
                scopes=scopes or ALL_SCOPES,
                actor="operator",
                now=now,
            )
        return plaintext

    return make


@pytest.fixture
def anonymous(settings: Settings, runtime: Runtime) -> Iterator[TestClient]:
    """No key; server errors come back as answers, as they would over the wire."""
    with app_for(settings) as app, TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def api(anonymous: TestClient, make_key: MakeKey) -> TestClient:
    """A key of the default controller with every scope."""
    anonymous.headers["Authorization"] = f"Bearer {make_key()}"
    return anonymous
