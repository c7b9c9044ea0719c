"""`lotus controllers` and `lotus keys`, which need no key and no service."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from app.audit.tables import PendingEntry
from app.config import Settings
from app.keys import service
from app.keys.looking_up import Shown, look_up
from app.runtime import Runtime
from tests.cli.conftest import Result

Lotus = Callable[..., Result]


@pytest.fixture
def here(lotus_here: Lotus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lotus:
    """`lotus` in this process, on a data folder of its own."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LOTUS_{name.upper()}", raising=False)
    monkeypatch.setenv("LOTUS_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments: str) -> Result:
        return lotus_here(*arguments, "--json")

    return run


def valid(tmp_path: Path, key: str) -> bool:
    runtime = Runtime.open(Settings(data_dir=tmp_path / "data"))
    digest = service.digest_of(runtime.keyring, key)
    assert digest is not None
    shown = Shown(True, digest)
    with runtime.database.read() as session:
        found = look_up(session, {shown}).get(shown)
    runtime.close()
    return found is not None and found.is_valid(datetime.now(UTC))


def create(here: Lotus, *more: str) -> dict[str, str]:
    made = here("keys", "create", "--name", "tests", "--scopes", "audit:read", *more)
    assert made.code == 0, made.out + made.err
    document: dict[str, str] = made.document
    return document


def test_a_key_belongs_to_the_controller_that_is_named(here: Lotus) -> None:
    made = here("controllers", "create", "Acme")
    assert made.code == 0
    create(here, "--controller", "Acme")
    create(here)
    listed = here("keys", "list").document["items"]
    assert [key["controller"] for key in listed] == ["Acme", "default"]
    assert not any("key" in key for key in listed)
    only = here("keys", "list", "--controller", "Acme").document["items"]
    assert [key["controller"] for key in only] == ["Acme"]
    names = [one["name"] for one in here("controllers", "list").document["items"]]
    assert names == ["Acme", "default"]


def test_a_controller_that_is_not_there_is_not_made_by_a_slip_of_the_pen(here: Lotus) -> None:
    refused = here("keys", "create", "--name", "x", "--scopes", "all", "--controller", "Acmee")
    assert refused.code == 1
    assert "lotus controllers list" in refused.document["error"]["title"]
    assert here("controllers", "list").document["items"] == []


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_a_name_that_cannot_be_shown_is_refused(here: Lotus, name: str) -> None:
    assert here("controllers", "create", name).code == 1
    assert here("keys", "create", "--name", name, "--scopes", "all").code == 1


def test_a_controller_s_name_is_taken_once(here: Lotus) -> None:
    assert here("controllers", "create", "Acme").code == 0
    assert "already" in here("controllers", "create", "Acme").document["error"]["title"]


def test_a_controller_s_jurisdiction_is_set_changed_and_taken_back(here: Lotus) -> None:
    made = here("controllers", "create", "Acme", "--jurisdiction", "DE-BE").document
    assert made["jurisdiction"] == "DE-BE"
    for place, kept in {"FR": "FR", "none": None}.items():
        assert here("controllers", "set", "Acme", "--jurisdiction", place).code == 0
        (listed,) = here("controllers", "list").document["items"]
        assert listed["jurisdiction"] == kept


def test_the_log_knows_who_was_added_and_whose_holidays_count_from_when_on(
    here: Lotus, tmp_path: Path
) -> None:
    """They decide when answers are due."""
    here("controllers", "create", "Acme", "--jurisdiction", "DE")
    for place in ("FR", "FR", "none"):
        here("controllers", "set", "Acme", "--jurisdiction", place)
    runtime = Runtime.open(Settings(data_dir=tmp_path / "data"))
    with runtime.database.read() as session:
        found = [json.loads(one) for one in session.scalars(select(PendingEntry.body))]
    runtime.close()
    said = [(one["kind"], one["facts"]["jurisdiction"]) for one in found]
    assert said == [
        ("keys:controller:created", "DE"),
        ("keys:jurisdiction:changed", "FR"),
        ("keys:jurisdiction:changed", None),
    ]


@pytest.mark.parametrize("place", ["ZZ", "DE-ZZ", "de", "Germany", "DE-", "", "../x", "D\u00cb"])
def test_a_place_whose_holidays_nobody_knows_is_refused(here: Lotus, place: str) -> None:
    assert here("controllers", "create", "Acme").code == 0
    refused = here("controllers", "set", "Acme", "--jurisdiction", place)
    assert refused.code == 1
    assert "ISO 3166" in refused.document["error"]["title"]
    assert here("controllers", "create", "Other", "--jurisdiction", place).code == 1
    (listed,) = here("controllers", "list").document["items"]
    assert listed["jurisdiction"] is None


def test_setting_nothing_is_refused(here: Lotus) -> None:
    assert here("controllers", "create", "Acme").code == 0
    assert here("controllers", "set", "Acme").code == 1


def test_the_operator_revokes_even_the_last_key_and_makes_another(
    here: Lotus, tmp_path: Path
) -> None:
    made = here("keys", "create", "--name", "only", "--scopes", "all").document
    assert valid(tmp_path, made["key"])
    assert here("keys", "revoke", made["id"]).document["revoked_at"]
    assert not valid(tmp_path, made["key"])
    assert valid(tmp_path, create(here)["key"])


def test_the_operator_rotates_a_key(here: Lotus, tmp_path: Path) -> None:
    old = create(here, "--days", "30")
    new = here("keys", "rotate", old["id"], "--overlap-hours", "0").document
    assert new["succeeds"] == old["id"]
    assert new["expires_at"] > old["expires_at"]
    assert valid(tmp_path, new["key"]) and not valid(tmp_path, old["key"])
    again = here("keys", "rotate", old["id"])
    assert (again.code, "expired" in again.document["error"]["title"]) == (1, True)


@pytest.mark.parametrize("key", ["key_" + "0" * 32, "run_" + "0" * 32, "key_x", "", "lot_abc"])
def test_a_key_that_is_not_there_is_one_line(here: Lotus, key: str) -> None:
    create(here)
    for command in ("revoke", "rotate"):
        refused = here("keys", command, key)
        assert refused.code == 1
        assert "lotus keys list" in refused.document["error"]["title"]


def test_the_table_of_keys_shows_no_key(lotus_here: Lotus, here: Lotus) -> None:
    made = create(here)
    shown = lotus_here("keys", "list")
    assert shown.code == 0
    assert made["id"][:12] in shown.out  # long cells are folded
    assert made["key"] not in shown.out
