"""From draws to the tables of the verification benchmark, each share with its Wilson interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.draws import POLICY, Outcome
from workers.unlearning.distributions import wilson_interval

Cells = dict[tuple[str, int], list[Outcome]]  # (truth, n_f) -> draws

VERDICTS = {
    "within_margin": "within",
    "not_shown": "not shown",
    "insufficient_data": "insuff.",
    "reduced": "reduced",
    "distinguishable": "disting.",
    "over_unlearned": "over-unl.",
    "no_valid_reference": "no ref.",
}
ALARMS = {"distinguishable", "over_unlearned"}
# What simulation gave before (280 draws a cell).
EXPECTED = {
    ("gold", 10): "insuff. .99, alarm .011",
    ("gold", 30): "insuff. .98, alarm .007",
    ("gold", 100): "within .82, not shown .18, alarm .004",
    ("gold", 300): "within 1.00",
    ("untouched", 10): "alarm .61",
    ("untouched", 30): "alarm 1.00",
    ("untouched", 100): "alarm 1.00",
    ("untouched", 300): "alarm 1.00",
    ("over-unlearned", 10): "alarm .80",
    ("over-unlearned", 30): "alarm 1.00",
    ("over-unlearned", 100): "alarm 1.00",
    ("over-unlearned", 300): "alarm 1.00",
    ("LoTUS", 10): "insuff. .98",
    ("LoTUS", 30): "reduced .15",
    ("LoTUS", 100): "reduced .82, within 0",
}
CHI_SQUARE_10_BINS = 27.88  # .999 quantile, 9 degrees of freedom


def verdicts(cells: Cells, names: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for (name, n_f), outcomes in sorted(cells.items(), key=lambda cell: cell[0][1]):
        if name not in names:
            continue
        counts = Counter(outcome.verdict for outcome in outcomes)
        rows.append(
            {
                "truth": name,
                "n_f": n_f,
                "draws": len(outcomes),
                "shares": {
                    verdict: _proportion(counts[verdict], len(outcomes)) for verdict in VERDICTS
                },
                "alarm": _proportion(sum(counts[v] for v in ALARMS), len(outcomes)),
                "auc": round(float(np.mean([o.auc for o in outcomes])), 3),
                "band": round(float(np.mean([o.band for o in outcomes])), 3),
                "reference_fired": round(np.mean([o.reference_fired for o in outcomes]), 3),
                "expected": EXPECTED.get((name, n_f), ""),
            }
        )
    return sorted(rows, key=lambda row: names.index(row["truth"]))


def errors(cells: Cells, names: Sequence[str]) -> list[dict[str, Any]]:
    """Under gold. An alarm is any verdict that names a deviation, `reduced` too."""
    rows = []
    for (name, n_f), outcomes in sorted(cells.items()):
        if name not in names:
            continue
        n = len(outcomes)
        alarms = sum(o.verdict in ALARMS | {"reduced"} for o in outcomes)
        rows.append(
            {
                "truth": name,
                "n_f": n_f,
                "draws": n,
                "alarm": _proportion(alarms, n),
                "covered": {
                    score: _proportion(sum(o.covered[score] for o in outcomes), n)
                    for score in outcomes[0].covered
                },
                "rejected": {
                    attack: _rejections(outcomes, attack)
                    for attack in ("kuiper", "band", "learned_attack", "stability_attack")
                },
                "within_lost_to_unread": _proportion(sum(o.blocked_by_unread for o in outcomes), n),
                "same_model_chi_square": _uniformity(outcomes),
            }
        )
    return rows


def _rejections(outcomes: list[Outcome], attack: str) -> dict[str, float] | None:
    level = POLICY.alpha / 4 if attack == "kuiper" else POLICY.alpha
    p_values = [o.p[attack] for o in outcomes if attack in o.p]
    if not p_values:
        return None
    return {"level": level, **_proportion(sum(p <= level for p in p_values), len(p_values))}


def _uniformity(outcomes: list[Outcome]) -> float:
    """Chi-square of the same-model p-values in 10 bins, ties broken at random."""
    rng = np.random.default_rng(0)
    p_values = [rng.uniform(1.0 - low, up) for up, low in (o.same_model for o in outcomes)]
    counts = np.histogram(p_values, bins=10, range=(0.0, 1.0))[0]
    expected = len(p_values) / 10
    return round(float(((counts - expected) ** 2 / expected).sum()), 2)


def _proportion(count: int, draws: int) -> dict[str, float]:
    low, high = wilson_interval(count, draws)
    return {"share": round(count / draws, 4), "low": round(low, 4), "high": round(high, 4)}


def _words(share: dict[str, float] | None) -> str:
    if share is None:
        return "-"
    return f"{share['share']:.3f} [{share['low']:.3f} {share['high']:.3f}]"


def verdict_table(rows: list[dict[str, Any]]) -> str:
    header = ["truth", "n_f", "draws", *VERDICTS.values(), "alarm", "AUC", "band", "expected"]
    return report.table(
        header,
        [
            [
                row["truth"],
                row["n_f"],
                row["draws"],
                *(f"{row['shares'][verdict]['share']:.2f}" for verdict in VERDICTS),
                _words(row["alarm"]),
                f"{row['auc']:.2f}",
                f"{row['band']:.2f}",
                row["expected"],
            ]
            for row in rows
        ],
    )


def error_table(rows: list[dict[str, Any]]) -> str:
    header = [
        "truth",
        "n_f",
        "draws",
        "any alarm",
        "90 % interval covers",
        "Kuiper at .0025",
        "learned at .01",
        "stability at .01",
        "within lost",
        "same-model chi2",
    ]
    return report.table(
        header,
        [
            [
                row["truth"],
                row["n_f"],
                row["draws"],
                _words(row["alarm"]),
                _words(row["covered"]["phi"]),
                _words(row["rejected"]["kuiper"]),
                _words(row["rejected"]["learned_attack"]),
                _words(row["rejected"]["stability_attack"]),
                _words(row["within_lost_to_unread"]),
                row["same_model_chi_square"],
            ]
            for row in rows
        ],
    )
