"""`lotus serve --sandbox`: the whole service, on nothing that matters."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import sandbox
from app.config import Settings
from client import LotusClient, Subject
from tests.cli.conftest import Result, Served

Serve = Callable[..., Served]
# What a real service may have in its environment; none of it can be reached or used.
REAL = {
    "LOTUS_DATABASE_URL": "postgresql+psycopg://lotus@127.0.0.1:1/lotus",
    "LOTUS_BROKER_URL": "redis://127.0.0.1:1/0",
    "LOTUS_SIGNING_KEY": "file:/nowhere/key.pem",
    "LOTUS_SECRET_KEY": "A" * 43 + "=",
    "LOTUS_PSEUDONYM_KEY": "k1:" + "A" * 43 + "=",
    "LOTUS_SUPPRESSION_KEY": "A" * 43 + "=",
}


def test_it_has_a_folder_keys_and_a_model_of_its_own_and_touches_no_real_ones(
    serve: Serve, tmp_path: Path
) -> None:
    first = serve("--sandbox", **REAL)
    assert first.said["sandbox"]["subject"] == "customer-0042"
    with LotusClient(first.said["url"], first.said["key"]) as lotus:
        (model,) = lotus.list_models()
        assert (model.name, model.state) == (first.said["sandbox"]["model"], "ready")
        (found,) = lotus.impact([Subject("customer-0042")])
        assert found.forget_count == first.said["sandbox"]["samples"]
        request = lotus.submit_erasure([Subject("customer-0042")])
        assert request.state in ("scheduled", "running")
    assert not (tmp_path / "data").exists()
    folder = tmp_path / "data-sandbox"
    assert (folder / "lotus.db").exists() and not (folder / "example").exists()
    first.end()
    again = serve("--sandbox", **REAL)
    assert again.said["key"] is None
    with LotusClient(again.said["url"], first.said["key"]) as lotus:
        assert [one.id for one in lotus.list_models()] == [model.id]
        assert lotus.get_request(request.id).id == request.id


def test_without_the_example_it_says_what_it_needs(
    lotus_here: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOTUS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(sandbox, "EXAMPLE", tmp_path / "gone.py")
    refused = lotus_here("serve", "--sandbox", "--json")
    assert refused.code == 1
    assert "checkout" in refused.err + refused.out
    assert not (tmp_path / "data-sandbox").exists()


def test_no_place_and_no_secret_of_the_real_service_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those that are kept are settings, and none of them says where data lies or is hidden."""
    names = {f"LOTUS_{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert set(sandbox.KEPT) <= set(names)
    for name in sandbox.KEPT:
        assert names[name].repr, f"{name} is a secret"
        assert not name.endswith(("_DIR", "_KEY", "_URL")) or name == "LOTUS_PUBLIC_URL"
    for name in names:
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(
        sandbox, "read_settings", lambda: Settings.model_construct(data_dir=tmp_path / "real")
    )
    assert sandbox.enter() == tmp_path / "real-sandbox"
    left = {name for name in os.environ if name.startswith("LOTUS_")}
    assert left & set(names) == sandbox.KEPT | {"LOTUS_DATA_DIR"}
    for name in left:
        monkeypatch.delenv(name)


def test_a_folder_that_cannot_be_made_stops_it(
    monkeypatch: pytest.MonkeyPatch, lotus: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "data-sandbox").write_text("a file")
    assert lotus("serve", "--sandbox", "--json", "--port", "0").code == 1
