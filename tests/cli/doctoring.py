"""What the tests of `lotus doctor` share: a service in good health, and one harm at a time."""

import base64
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update

from app.audit import sealing
from app.audit.memory import Memory, memory_of
from app.config import Settings
from app.registry.tables import Artifact
from app.restore import service as restore
from app.runtime import Runtime
from app.signing import open_signer
from tests.audit.logs import signer as a_signer
from tests.cli.conftest import Result
from tests.erasure.conftest import Cases, cases, model
from tests.erasure.working import Hand

__all__ = ["cases", "model"]

Doctor = Callable[..., Result]


@pytest.fixture
def doctor(
    settings: Settings,
    runtime: Runtime,
    lotus_here: Doctor,
    monkeypatch: pytest.MonkeyPatch,
) -> Doctor:
    """`doctor("--json")` over this test's service, with keys as an operator makes them."""
    monkeypatch.setenv("LOTUS_DATA_DIR", str(settings.data_dir))
    if settings.database_url:
        monkeypatch.setenv("LOTUS_DATABASE_URL", settings.database_url)
        for name in ("SECRET", "PSEUDONYM", "SUPPRESSION"):
            key = base64.b64encode(secrets.token_bytes(32)).decode()
            prefix = "k1:" if name == "PSEUDONYM" else ""
            monkeypatch.setenv(f"LOTUS_{name}_KEY", prefix + key)
    settings.data_dir.chmod(0o700)
    for path in settings.data_dir.glob("lotus.db"):
        path.chmod(0o600)
    return lambda *arguments: lotus_here("doctor", *arguments)


def give_bytes(runtime: Runtime) -> None:
    """Every artifact that the factories only wrote down gets a file, and its true name."""
    with runtime.database.write() as session:
        for artifact in session.scalars(select(Artifact)).all():
            content = secrets.token_bytes(8)
            sha256 = runtime.artifacts.put(content)
            stands = Artifact(
                sha256=sha256,
                size=len(content),
                media_type=artifact.media_type,
                state=artifact.state,
                created_at=artifact.created_at,
            )
            session.add(stands)
            session.flush()
            for table in ("dataset_shards", "model_versions"):
                session.execute(
                    text(f"UPDATE {table} SET artifact_sha256 = :new WHERE artifact_sha256 = :old"),
                    {"new": sha256, "old": artifact.sha256},
                )
            session.execute(delete(Artifact).where(Artifact.sha256 == artifact.sha256))


@pytest.fixture
def healthy(runtime: Runtime, cases: Cases) -> Runtime:
    """A worker, one scheduled request, a sequenced log, and every file in its place."""
    give_bytes(runtime)
    if not runtime.database.is_sqlite:  # the tests' server does not wait for its disk otherwise
        with runtime.database.write() as session:
            name = session.scalar(text("SELECT current_database()"))
            session.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = on'))
        runtime.database.dispose()
    Hand.hire(runtime, datetime.now(UTC))
    cases.submit("ada")
    memory, signer = memory_of(runtime.settings), open_signer(runtime.settings)
    if memory is None or signer is None:  # in a fleet that is told of no key
        memory, signer = Memory(runtime.settings.data_dir / "checkpoint"), a_signer()
    sealing.seal(runtime.database, signer, memory, origin=None, now=datetime.now(UTC))
    restore.look(runtime.database, runtime.artifacts.root, now=datetime.now(UTC))
    return runtime


def change(runtime: Runtime, table: Any, **values: Any) -> None:
    with runtime.database.write() as session:
        session.execute(update(table).values(**values))


def findings(result: Result, area: str | None = None) -> list[dict[str, str]]:
    found: list[dict[str, str]] = result.document["findings"]
    return [each for each in found if area in (None, each["area"])]


def bad(result: Result) -> list[tuple[str, str]]:
    return [(each["area"], each["level"]) for each in findings(result) if each["level"] != "ok"]
