"""Commands that work on the database itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.audit.tables import PendingEntry
from app.db import Database
from app.revisions import is_current
from tests.cli.conftest import Result
from tests.databases import service_environment

Lotus = Callable[..., Result]


@pytest.fixture
def lotus_on_the_database(lotus: Lotus, empty_database: Database) -> Lotus:
    """`lotus` on a database of each dialect."""

    def run(*arguments: str, **settings: Any) -> Result:
        return lotus(*arguments, **service_environment(empty_database), **settings)

    return run


def test_a_key_is_made_in_a_fresh_folder_and_only_its_digest_is_kept(
    lotus: Lotus, tmp_path: Path
) -> None:
    made = lotus("keys", "create", "--name", "tests", "--scopes", "audit:read", "--json")
    assert made.code == 0
    assert made.document["scopes"] == ["audit:read"]
    key = made.document["key"]
    assert key.startswith("lot_")
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if key.encode() in path.read_bytes()]


def test_an_unknown_scope_is_refused_with_the_known_ones(lotus: Lotus) -> None:
    refused = lotus("keys", "create", "--name", "tests", "--scopes", "audit:read,root")
    assert refused.code == 1
    assert refused.out == ""
    assert "requests:write" in refused.err and "Traceback" not in refused.err


def test_migrating_twice_changes_nothing(
    lotus_on_the_database: Lotus, empty_database: Database
) -> None:
    assert lotus_on_the_database("migrate", "--json").document == {"migrated": True}
    assert lotus_on_the_database("migrate").code == 0
    assert is_current(empty_database)


def test_a_setting_that_cannot_be_used_is_named(lotus: Lotus) -> None:
    result = lotus("migrate", LOTUS_SWEEP_SECONDS="often")
    assert result.code == 1
    assert result.err.startswith("error: LOTUS_SWEEP_SECONDS: ")
    assert "often" not in result.err


def test_a_database_server_without_secrets_is_refused_by_the_name_of_the_variable(
    lotus: Lotus,
) -> None:
    result = lotus("migrate", LOTUS_DATABASE_URL="postgresql+psycopg://user@localhost/none")
    assert result.code == 1
    assert "LOTUS_SECRET_KEY must be set" in result.err


def test_an_error_is_json_where_json_was_asked_for(lotus: Lotus) -> None:
    result = lotus("migrate", "--json", LOTUS_SWEEP_SECONDS="often")
    assert result.code == 1
    assert result.document["error"]["title"].startswith("LOTUS_SWEEP_SECONDS: ")


def test_tables_that_are_not_made_yet_are_no_reason_to_guess(
    lotus_on_the_database: Lotus, dialect: str
) -> None:
    """A single machine makes them on the way; a fleet has a step of its own for it."""
    made = lotus_on_the_database("keys", "create", "--name", "tests", "--scopes", "all")
    assert (made.code == 0) == (dialect == "sqlite")
    assert made.code == 0 or "run `lotus migrate`" in made.err


@pytest.fixture
def log_with_a_key(lotus_on_the_database: Lotus, empty_database: Database) -> Database:
    assert lotus_on_the_database("migrate").code == 0
    made = lotus_on_the_database("keys", "create", "--name", "tests", "--scopes", "all")
    assert made.code == 0, made.err
    return empty_database


def test_an_untouched_audit_log_passes_its_check(
    lotus_on_the_database: Lotus, log_with_a_key: Database
) -> None:
    result = lotus_on_the_database("audit", "check", "--json")
    assert result.code == 0
    assert result.document["ok"] is True
    assert result.document["entries"] + result.document["pending"] == 1


def test_a_changed_entry_fails_the_check(
    lotus_on_the_database: Lotus, log_with_a_key: Database
) -> None:
    with log_with_a_key.write() as session:
        entry = session.scalars(select(PendingEntry)).one()
        entry.body = entry.body.replace(b"audit:read", b"audit:rea")
    result = lotus_on_the_database("audit", "check")
    assert result.code == 1
    assert "the audit log was changed" in result.err
    assert lotus_on_the_database("audit", "check", "--json").document["ok"] is False
