"""The demo is the whole service in one command, so one test runs it as it is."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from app.cli import demo
from client import Run
from tests.cli.conftest import Result
from tests.client.service import answering

RUN = {
    "id": "run_0",
    "model": "mdl_1",
    "base_version": "ver_1",
    "base_number": 1,
    "rung": 0,
    "attempt": 1,
    "state": "succeeded",
    "method": "lotus",
    "mode": "guided",
    "seed": 1,
    "created_at": "2026-01-31T12:00:00Z",
}


@pytest.mark.timeout(900)
def test_the_demo_publishes_a_new_version_and_leaves_nothing_behind(
    lotus: Callable[..., Result], tmp_path: Path
) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    result = lotus("demo", "--json", TMPDIR=str(shared))
    assert result.code == 0, result.err
    shown = result.document
    assert shown["impact"][0]["forget_count"] == 100
    assert shown["request"]["state"] == "completed"
    run = shown["run"]
    # A rejected attempt leaves a candidate, which takes a number; the ladder has four rungs. Which
    # of them is published depends on the machine's arithmetic and on the seed.
    attempts = run["rung"] + 1
    assert run["published_version"]["number"] == 1 + attempts <= 5
    assert [one["rung"] for one in shown["rejected"]] == list(range(run["rung"]))
    assert run["published_version"]["sha256"] == shown["downloaded_sha256"] != run["base_sha256"]
    assert run["metrics"]["sizes"]["n_f"] == 100
    scores = run["metrics"]["scores"]["phi"]
    assert scores["before"]["auc"] > scores["after"]["auc"]
    certificate = shown["certificate"]
    assert [check for check, _ in certificate["checks"]][-3:] == ["inclusion", "asked", "asked"]
    assert certificate["request"] == shown["request"]["id"]
    assert [name["sha256"] for name in certificate["about"]] == [shown["downloaded_sha256"]]
    kinds = [entry["kind"] for entry in shown["audit_entries"]]
    assert kinds[0] == "erasure:request:received"
    assert "erasure:version:published" in kinds
    indexes = [entry["index"] for entry in shown["audit_entries"]]
    assert indexes == sorted(indexes)
    assert list(shared.iterdir()) == []


def test_without_a_checkout_the_demo_says_what_it_needs(
    lotus_here: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "EXAMPLE", Path(tempfile.gettempdir()) / "nowhere" / "train.py")
    result = lotus_here("demo")
    assert result.code == 1
    assert "needs a checkout" in result.err


def test_a_demo_that_fails_shows_the_log_and_leaves_nothing_behind(
    lotus: Callable[..., Result], tmp_path: Path
) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    result = lotus("demo", TMPDIR=str(shared), LOTUS_LOG_LEVEL="loud")
    assert result.code == 1
    assert "last lines of the service's log" in result.err
    assert "Unknown level" in result.err
    assert list(shared.iterdir()) == []


def test_the_demo_tells_of_the_rejected_runs_before_the_one_that_was_published() -> None:
    newest_first = [{**RUN, "id": f"run_{n}", "rung": n, "state": "rejected"} for n in (1, 0)]
    client, _ = answering(
        httpx2.Response(200, json={"items": newest_first, "next_cursor": None}),
        *(httpx2.Response(200, json={**RUN, **run}) for run in reversed(newest_first)),
    )
    published = Run.model_validate({**RUN, "id": "run_2", "rung": 2, "state": "succeeded"})
    assert [run.rung for run in demo._rejected(client, published)] == [0, 1]
