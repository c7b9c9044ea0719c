"""What most tests need: a data folder with a migrated database, and a client with a key."""

import base64
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app import migrate
from app.config import Settings
from app.db import Database
from app.keys import service as keys
from app.keys.scopes import ALL_SCOPES, Scope
from app.main import create_app
from app.runtime import Runtime
from tests.databases import SERVER, database_of_its_own

MakeKey = Callable[..., str]


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


@pytest.fixture(params=["sqlite", *(["postgresql"] if SERVER else [])])
def settings(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    migrated_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """A data folder of this test's own, over a migrated database of each dialect."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LOTUS_{name.upper()}", raising=False)
    data = tmp_path / "data"
    data.mkdir()
    if request.param == "sqlite":
        shutil.copy(migrated_file, data / "lotus.db")
        yield Settings(data_dir=data)
        return
    assert SERVER is not None
    with database_of_its_own(SERVER) as database:
        migrate.upgrade(database)
        key = base64.b64encode(bytes(32)).decode()
        yield Settings(
            data_dir=data,
            database_url=database.url.render_as_string(hide_password=False),
            secret_key=key,
            pseudonym_key=f"k1:{key}",
            suppression_key=key,
        )


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
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def api(anonymous: TestClient, make_key: MakeKey) -> TestClient:
    """A key of the default controller with every scope."""
    anonymous.headers["Authorization"] = f"Bearer {make_key()}"
    return anonymous
