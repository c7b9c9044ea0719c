"""The evidence for guided mode: stopping rules on curves made by hand, and the program itself."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import guided, stopping
from benchmarks.guided_tables import summary
from benchmarks.stopping import RULES, Point
from workers.unlearning.steering import Signal


def curve(*figures: tuple[float, float, float]) -> list[Point]:
    """(AUC, member excess, band) after each epoch of ten steps."""
    return [
        Point(i, 10 * i, Signal(auc, 0.03, excess, band), {"gap": float(i)})
        for i, (auc, excess, band) in enumerate(figures, 1)
    ]


FALLING = curve(
    (0.70, 0.30, 0.30),
    (0.62, -0.01, 0.10),
    (0.58, -0.02, 0.20),
    (0.50, -0.10, 0.27),
    (0.40, -0.20, 0.05),
)


@pytest.mark.parametrize(
    ("rule", "kept", "last"),
    [
        ("guided", 3, 3),  # the second epoch is above the ceiling of .60
        ("members", 2, 2),
        ("AUC .5", 4, 4),
        ("band", 2, 5),  # the fifth is below the floor of .45
        ("band, smoothed", 4, 5),  # means of up to three: .30, .20, .20, .19, too far
        ("sum of three", 2, 5),  # 1.0, .35, .38, .37, too far
        ("40 steps", 4, 4),
    ],
)
def test_every_rule_stops_where_its_words_say(rule: str, kept: int, last: int) -> None:
    found, ran = RULES[rule](FALLING)
    assert (found.epoch, ran) == (kept, last)


def test_a_band_rule_ends_after_five_epochs_without_a_lower_band() -> None:
    flat = curve(*[(0.6, 0.2, band) for band in (0.3, 0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.0)])
    found, ran = stopping.band(flat)
    assert (found.epoch, ran) == (2, 7)


def test_the_program_prints_and_writes_its_contenders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "guided.json"
    guided.main(["--smoke", "--workers", "1", "--json", str(path)])
    results = json.loads(path.read_text())
    rows = {row["name"]: row for row in results["summary"]}
    assert list(rows) == ["noop", "lotus guided", "lotus paper", "second gold", "gold"]
    assert rows["gold"]["gap"] == rows["gold"]["jsd"] == rows["noop"]["fall"] == 0.0
    assert all(0.0 <= row["published"] <= 1.0 for row in rows.values())
    (case,) = results["cases"]
    assert [row["name"] for row in case["rules"]] == list(RULES)
    assert all(np.isfinite(row["gap"]) for row in case["rules"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*rows, *RULES))


def test_the_curve_repeats_the_run_that_guided_mode_made() -> None:
    """The library's own rule on the recorded curve keeps the model that the library kept."""
    (draw,) = guided.SMOKE[0].draws
    case = guided.measure(draw)
    run = next(row for row in case["contenders"] if row["name"] == "lotus guided")
    on_curve = next(row for row in case["rules"] if row["name"] == "guided")
    for figure in ("epoch", "last", "gap", "jsd", "auc", "test"):
        assert run[figure] == on_curve[figure], figure
    assert len(summary([case])) == 5
