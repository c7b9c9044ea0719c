"""The demo is the whole service in one command, so one test runs it as it is."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from app.cli import demo
from tests.cli.conftest import Result
from tests.client.service import REQUEST, answering


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
    # A rejected attempt leaves a candidate, which takes a number; the demo decides `retry` twice
    # at most. Which attempt is published depends on the machine's arithmetic and on the seed.
    attempts = run["rung"] + 1
    assert run["published_version"]["number"] == 1 + attempts <= 4
    assert run["published_version"]["sha256"] == shown["downloaded_sha256"] != run["base_sha256"]
    assert run["metrics"]["sizes"]["n_f"] == 100
    scores = run["metrics"]["scores"]["phi"]
    assert scores["before"]["auc"] > scores["after"]["auc"]
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


def test_a_rejected_run_is_tried_again_by_the_demos_person() -> None:
    item = {
        "id": "itm_1",
        "model": "mdl_1",
        "model_name": "digits",
        "state": "needs_decision",
        "forget_count": 100,
        "held_out_count": 0,
    }
    waiting = {**REQUEST, "state": "needs_decision", "items": [item]}
    done = {**REQUEST, "state": "completed", "items": [{**item, "state": "published"}]}
    client, seen = answering(
        httpx2.Response(200, json=waiting),
        httpx2.Response(202, json={**REQUEST, "state": "scheduled"}),
        httpx2.Response(200, json=done),
    )
    request = client.get_request("req_1")
    assert demo._decide(client, request, as_json=True).state == "completed"
    assert [sent.method for sent in seen] == ["GET", "POST", "GET"]
    assert json.loads(seen[1].content)["action"] == "retry"
