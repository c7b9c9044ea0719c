"""The comparison of methods: its arithmetic by hand, and the whole program on a tiny case."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import methods, standings
from benchmarks.cases import Draw, make
from benchmarks.likeness import answers, average_gap, likeness
from workers.unlearning.methods import REGISTRY

ANSWERED = ("gap", "jsd", "rf_jsd", "auc", "test", "seconds")


def test_the_average_gap_is_the_mean_of_four_absolute_differences() -> None:
    gold = {"mia": 0.40, "forget": 0.90, "retain": 1.00, "test": 0.92}
    unlearned = {"mia": 0.70, "forget": 1.00, "retain": 0.98, "test": 0.90, "auc": 0.1}
    # (.30 + .10 + .02 + .02) / 4, whichever of the two is larger
    assert average_gap(unlearned, gold) == pytest.approx(0.11)
    assert average_gap(gold, unlearned) == pytest.approx(0.11)
    assert average_gap(gold, gold) == 0.0


def test_ranks_follow_the_mean_gap_and_leave_out_what_is_gold() -> None:
    def run(name: str, gap: float, **figures: float) -> dict[str, object]:
        values = dict.fromkeys(standings.FIGURES, 0.5) | {"gap": gap} | figures
        return {"dataset": "digits", "n_forget": 20, "name": name, **values}

    runs = [
        run("gold", 0.0, rf_jsd=9.0, jsd=0.0),
        run("second gold", 0.01, rf_jsd=1.0, jsd=0.01),
        run("lotus guided", 0.02, rf_jsd=2.0, jsd=0.02),
        run("lotus guided", 0.04, rf_jsd=2.0, jsd=0.02),
        run("lotus paper", 0.05, rf_jsd=4.0, jsd=0.03),
        run("noop", 0.02, rf_jsd=3.0, jsd=0.4),
    ]
    (table,) = standings.tables(runs)
    ranks = {row["name"]: row["rank"] for row in table["rows"]}
    assert ranks == {
        "gold": None,
        "second gold": None,
        "noop": 1,
        "lotus guided": 2,
        "lotus paper": 3,
    }
    guided = table["rows"][2]
    assert guided["mean"]["gap"] == pytest.approx(0.03)
    assert guided["sd"]["gap"] == pytest.approx(0.02 / np.sqrt(2))
    # Ranks 1 2 4 3 against 1 2 3 4, gold left out: 1 - 6 * 2 / (4 * 15)
    assert table["correlation"]["spearman"] == pytest.approx(0.8)
    # The one far from gold, noop, is out: 1 2 3 against 1 2 3
    assert table["correlation_of_close"]["spearman"] == pytest.approx(1.0)
    assert table["correlation_of_close"]["methods"] == 3
    assert standings.overall([table])["order"] == ["noop", "lotus guided", "lotus paper"]


def test_gold_has_no_distance_to_itself_and_the_original_knows_its_forget_set() -> None:
    case = make(Draw("digits", 40, seed=1, n_trained=120, epochs=12))
    original, gold = (answers(model, case.sets) for model in (case.original, case.gold))
    of_gold = likeness(gold, original, gold, case.sets)
    assert of_gold["gap"] == of_gold["jsd"] == 0.0
    of_original = likeness(original, original, gold, case.sets)
    assert of_original["gap"] > 0.0 and of_original["jsd"] > 0.0
    assert of_original["forget"] > of_gold["forget"]


def test_no_row_is_in_two_sets_of_a_case() -> None:
    for subject in ("spread", "block"):
        case = make(Draw("digits", 30, seed=2, n_trained=60, epochs=1, subject=subject))
        parts = [case.data.forget, case.data.retain, case.data.validation, case.sets.test]
        assert [len(part) for part in parts] == [30, 30, 700, 700]
        rows = np.concatenate([part.inputs.flatten(1).numpy() for part in parts])
        assert len(np.unique(rows, axis=0)) == len(rows)


def test_the_program_prints_and_writes_every_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "methods.json"
    methods.main(["--smoke", "--json", str(path)])
    results = json.loads(path.read_text())
    (table,) = results["tables"]
    rows = {row["name"]: row for row in table["rows"]}
    lotus = {"lotus guided", "lotus paper", "lotus released"}
    assert {"gold", "second gold", "noop"} | lotus <= set(rows)
    assert {run["method"] for run in results["runs"] if "method" in run} == set(REGISTRY)
    for name, row in rows.items():
        assert all(np.isfinite(row["mean"][figure]) for figure in ANSWERED), name
        assert row["failures"] == 0, name
    assert rows["gold"]["mean"]["gap"] == rows["gold"]["mean"]["jsd"] == 0.0
    assert -1.0 <= table["correlation"]["spearman"] <= 1.0
    assert results["machine"]["torch"] and results["small_set"]
    printed = capsys.readouterr().out
    assert all(name in printed for name in rows)
    assert "Best: " in printed
