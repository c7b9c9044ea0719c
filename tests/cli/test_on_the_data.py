"""Commands that work on the database itself."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result

Lotus = Callable[..., Result]


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


def test_migrating_twice_changes_nothing(lotus: Lotus) -> None:
    assert lotus("migrate", "--json").document == {"migrated": True}
    assert lotus("migrate").code == 0


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


@pytest.fixture
def log_with_a_key(lotus: Lotus, tmp_path: Path) -> Path:
    assert lotus("keys", "create", "--name", "tests", "--scopes", "all").code == 0
    return tmp_path / "data" / "lotus.db"


def test_an_untouched_audit_log_passes_its_check(lotus: Lotus, log_with_a_key: Path) -> None:
    result = lotus("audit", "check", "--json")
    assert result.code == 0
    assert result.document["ok"] is True
    assert result.document["entries"] + result.document["pending"] == 1


def test_a_changed_entry_fails_the_check(lotus: Lotus, log_with_a_key: Path) -> None:
    with sqlite3.connect(log_with_a_key) as database:
        database.execute("UPDATE audit_pending SET body = replace(body, 'audit:read', 'audit:rea')")
    result = lotus("audit", "check")
    assert result.code == 1
    assert "the audit log was changed" in result.err
    assert lotus("audit", "check", "--json").document["ok"] is False
