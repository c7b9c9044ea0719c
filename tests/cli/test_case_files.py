"""`lotus requests` with a running service."""

import csv
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.erasure import following
from app.runtime import Runtime
from tests.cli.conftest import Result
from tests.erasure.conftest import Cases, cases, model
from tests.erasure.working import Hand
from tests.listening import listening

__all__ = ["cases", "model"]

LotusHere = Callable[..., Result]


@pytest.fixture(autouse=True)
def address(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    app: Any = cases.api.app
    with listening(app) as url:
        monkeypatch.setenv("LOTUS_URL", url)
        key = cases.api.headers["Authorization"].removeprefix("Bearer ")
        monkeypatch.setenv("LOTUS_API_KEY", key)
        yield url
        app.state.following.stop()


def test_a_file_is_submitted_and_the_faulty_rows_are_named(
    lotus_here: LotusHere, tmp_path: Path, cases: Cases
) -> None:
    file = tmp_path / "cases.csv"
    file.write_text("external_id,subject_value,regulation\nc-1,ada,gdpr\nc-2,ben,law\n")
    result = lotus_here("requests", "import", str(file))
    assert result.code == 1
    assert "2 rows: 1 accepted, 1 invalid" in result.out
    assert "regulation must be one of" in " ".join(result.out.split())
    assert result.err.strip().endswith("error: 1 rows were not accepted")
    file.write_text("external_id,subject_value,regulation\nc-1,ada,gdpr\nc-2,ben,ccpa\n")
    again = lotus_here("requests", "import", str(file), "--json")
    assert again.code == 0
    assert again.document == {"rows": 2, "counts": {"repeated": 1, "accepted": 1}, "faults": []}


def test_what_fits_is_listed_and_exported(
    lotus_here: LotusHere, tmp_path: Path, cases: Cases
) -> None:
    waits = cases.submit("ada", external_id="c-1")
    done = cases.submit("nobody", external_id="c-2")
    shown = lotus_here("requests", "list", "--state", "scheduled", "--state", "failed")
    assert waits in shown.out and done not in shown.out
    listed = lotus_here("requests", "list", "--updated-since", "2020-01-01", "--json").document
    assert [one["id"] for one in listed["items"]] == [waits, done]
    assert lotus_here("requests", "list", "--overdue", "--json").document == {"items": []}
    target = tmp_path / "out.csv"
    result = lotus_here("requests", "export", str(target), "--state", "completed")
    assert result.code == 0 and result.out.startswith("1 requests in")
    with target.open(newline="") as file:
        assert [line[0] for line in csv.reader(file)] == ["id", done, "#end"]


def test_a_file_that_is_not_there_or_cannot_be_written_is_one_line(
    lotus_here: LotusHere, tmp_path: Path
) -> None:
    for arguments in (
        ("import", str(tmp_path / "none.csv")),
        ("export", str(tmp_path / "none" / "out.csv")),
    ):
        result = lotus_here("requests", *arguments)
        assert result.code == 1 and result.err.startswith("error: ")


def test_watching_prints_each_change_and_ends_with_the_request(
    lotus_here: LotusHere, cases: Cases, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "EVERY_SECONDS", 0.05)
    now = datetime.now(UTC) + timedelta(minutes=5)
    hand = Hand.hire(runtime, now)
    identity = cases.submit("ada")
    hand.publish(hand.must_claim(now), now)
    result = lotus_here("requests", "watch", identity)
    assert result.code == 0 and "completed  model published" in result.out
