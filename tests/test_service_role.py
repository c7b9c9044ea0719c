"""The role that the service works as: it can do its work, and cannot touch what was logged."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app import service_role
from app.audit import sequencer
from app.audit.check import check
from app.config import Settings
from app.db import Database
from app.runtime import Runtime
from app.schema import metadata
from tests.audit.logs import Sealed, write
from tests.databases import fleet_settings
from tests.erasure.conftest import Cases, cases, model
from tests.erasure.working import Hand

__all__ = ["cases", "model"]

REFUSED = "42501"  # insufficient_privilege


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    if database.is_sqlite:
        pytest.skip("SQLite has no roles")
    name = f"lotus_test_{secrets.token_hex(4)}"
    yield name
    with database.write() as session:
        if session.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name}):
            session.execute(text(f"DROP OWNED BY {name}"))
            session.execute(text(f"DROP ROLE {name}"))


@pytest.fixture
def service(database: Database, role: str) -> Iterator[Database]:
    """The same database, as the service's role."""
    service_role.grant(database, role, password='it\'s 100% a "secret" \\ :x')
    made = Database(database.url.set(username=role, password='it\'s 100% a "secret" \\ :x'))
    yield made
    made.dispose()


@pytest.fixture
def settings(service: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What `runtime`, `api` and `cases` are made of: here they work as the service's role."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LOTUS_{name.upper()}", raising=False)
    (tmp_path / "data").mkdir()
    return Settings(data_dir=tmp_path / "data", **fleet_settings(service))


@pytest.fixture
def sealed(service: Database, tmp_path: Path) -> Sealed:
    made = Sealed(service, tmp_path)
    write(service, 4)
    made.seal()
    write(service, 1)
    return made


def sqlstate(database: Database, statement: str) -> str | None:
    try:
        with database.write() as session:
            session.execute(text(statement))
    except DBAPIError as error:
        return getattr(error.orig, "sqlstate", None)
    return None


@pytest.mark.parametrize(
    "statement",
    [
        *(
            form.format(table)
            for table in ("audit_entries", "audit_nodes", "audit_checkpoints", "signing_keys")
            for form in (
                "DELETE FROM {}",
                "TRUNCATE {}",
                "DROP TABLE {}",
                "ALTER TABLE {} DISABLE TRIGGER ALL",
                "ALTER TABLE {} DISABLE TRIGGER USER",
                "ALTER TABLE {} ADD COLUMN mine text",
                "CREATE TRIGGER mine BEFORE INSERT ON {} EXECUTE FUNCTION lotus_append_only()",
            )
        ),
        "UPDATE audit_entries SET body = ''",
        "UPDATE audit_entries SET kind = kind",
        "UPDATE audit_nodes SET hash = ''",
        "UPDATE audit_checkpoints SET note = ''",
        "UPDATE audit_pending SET body = ''",
        "UPDATE signing_keys SET public = ''",
        "INSERT INTO audit_nodes SELECT * FROM audit_nodes ON CONFLICT (level, index) "
        "DO UPDATE SET hash = ''",
        "DROP TRIGGER audit_entries_no_update ON audit_entries",
        "DROP FUNCTION lotus_append_only() CASCADE",
        "CREATE OR REPLACE FUNCTION lotus_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RETURN NULL; END'",
        "UPDATE alembic_version SET version_num = '0001'",
        "SET session_replication_role = replica",
    ],
)
def test_the_service_is_refused_by_privilege(
    service: Database, sealed: Sealed, statement: str
) -> None:
    assert sqlstate(service, statement) == REFUSED


def test_the_service_reads_every_table(service: Database) -> None:
    with service.read() as session:
        for table in [*metadata.tables, "alembic_version"]:
            session.execute(text(f'SELECT count(*) FROM "{table}"'))


def test_an_ordinary_case_is_accepted_carried_out_logged_and_sealed(
    cases: Cases, runtime: Runtime, sealed: Sealed
) -> None:
    assert str(runtime.database.url.username).startswith("lotus_test_")
    request = cases.submit("ada")
    now = datetime.now(UTC)
    hand = Hand.hire(runtime, now)
    hand.publish(hand.must_claim(now), now)
    assert cases.state(request) == "completed"
    row = sealed.seal(now)
    with runtime.database.read() as session:
        assert row is not None and row.tree_size == sequencer.size(session)
        assert check(session).ok


def test_rights_are_given_again_without_a_password(database: Database, service: Database) -> None:
    role = service.url.username
    assert role is not None
    with database.write() as session:
        session.execute(text(f"GRANT DELETE ON audit_entries TO {role}"))
        session.execute(text(f"GRANT UPDATE (note) ON audit_checkpoints TO {role}"))
    service_role.grant(database, role, password=None)
    assert sqlstate(service, "DELETE FROM audit_entries") == REFUSED
    assert sqlstate(service, "UPDATE audit_checkpoints SET note = ''") == REFUSED


def test_a_role_that_could_do_anything_is_refused(database: Database, role: str) -> None:
    with database.read() as session:
        owner = str(session.scalar(text("SELECT current_user")))
    with pytest.raises(service_role.BadRole, match="another one"):
        service_role.grant(database, owner, password=None)
    with pytest.raises(service_role.BadRole, match="LOTUS_SERVICE_PASSWORD"):
        service_role.grant(database, role, password=None)
    for rights in ("SUPERUSER", "CREATEROLE"):
        with database.write() as session:
            session.execute(text(f"DROP ROLE IF EXISTS {role}"))
            session.execute(text(f"CREATE ROLE {role} LOGIN {rights}"))
        with pytest.raises(service_role.BadRole, match="superuser"):
            service_role.grant(database, role, password=None)
    with database.write() as session:
        session.execute(text(f"ALTER ROLE {role} NOCREATEROLE"))
        session.execute(text(f'GRANT "{owner}" TO {role}'))
    with pytest.raises(service_role.BadRole, match="member of the owner"):
        service_role.grant(database, role, password=None)


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "a;b", "Upper", "ä", "x" * 64, "1a"])
def test_a_name_that_is_none_is_refused(database: Database, role: str, name: str) -> None:
    with pytest.raises(service_role.BadRole, match="lower-case"):
        service_role.grant(database, name, password="x")


def test_sqlite_has_no_service_role(tmp_path: Path) -> None:
    with pytest.raises(service_role.BadRole, match="PostgreSQL"):
        service_role.grant(Database(f"sqlite:///{tmp_path / 'x.db'}"), "x", password="x")
