"""The tables of `benchmarks.guided`: means over seeds of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks import report

Case = dict[str, Any]
Row = dict[str, Any]


def name_of(case: Case) -> str:
    draw = case["draw"]
    return f"{draw['dataset']} {draw['network']} {draw['subject']} {draw['n_forget']}"


def _mean(rows: Iterable[Row], figure: str) -> float | None:
    values = [row[figure] for row in rows if figure in row]
    return float(np.mean(values)) if values else None


def _grouped(cases: Sequence[Case], part: str) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for name in dict.fromkeys(map(name_of, cases)):
        for case in cases:
            if name_of(case) == name:
                for row in case[part]:
                    found.setdefault((name, row["name"]), []).append(row)
    return found


def summary(cases: Sequence[Case]) -> list[Row]:
    """Means over seeds, for each case and contender; the spread of the gap."""
    figures = ("gap", "jsd", "auc", "band", "fall", "below_gold", "epoch", "last", "published")
    return [
        {"case": case, "name": name, "runs": len(rows), "gap_sd": _spread(rows)}
        | {figure: _mean(rows, figure) for figure in (*figures, "seconds")}
        for (case, name), rows in _grouped(cases, "contenders").items()
    ]


def _spread(rows: Sequence[Row]) -> float:
    return float(np.std([row["gap"] for row in rows], ddof=1)) if len(rows) > 1 else 0.0


def contender_table(cases: Sequence[Case]) -> str:
    header = (
        "case",
        "model",
        "Avg Gap",
        "JSD",
        "fall",
        "below gold",
        "AUC",
        "band",
        "epoch/last",
        "published",
        "seconds",
    )
    rows = []
    for row in summary(cases):
        ran = row["epoch"] is not None
        rows.append(
            [
                row["case"],
                row["name"],
                f"{row['gap']:.3f} +-{row['gap_sd']:.3f}",
                f"{row['jsd']:.4f}",
                f"{100 * row['fall']:+.1f}",
                f"{100 * row['below_gold']:+.1f}",
                f"{row['auc']:.3f}",
                f"{row['band']:+.2f}",
                f"{row['epoch']:.1f}/{row['last']:.1f}" if ran else "",
                f"{100 * row['published']:.0f} %",
                f"{row['seconds']:.2f}" if ran else "",
            ]
        )
    return report.table(header, rows) + "\n\n" + _statement(cases)


def _statement(cases: Sequence[Case]) -> str:
    found = {(row["case"], row["name"]): row for row in summary(cases)}
    names = list(dict.fromkeys(map(name_of, cases)))
    guided, paper = (
        [found[name, contender] for name in names] for contender in ("lotus guided", "lotus paper")
    )

    def count(holds: Callable[[Row, Row], bool]) -> str:
        return f"{sum(map(holds, guided, paper))} of {len(names)}"

    lines = [
        f"guided's Avg Gap is at most paper's in {count(lambda g, p: g['gap'] <= p['gap'])} cases",
        f"its test accuracy is within 2 points of gold's in "
        f"{count(lambda g, _: g['below_gold'] <= 0.02)}",
        f"its mean AUC is at least .45 in {count(lambda g, _: g['auc'] >= 0.45)}",
    ]
    for dataset in dict.fromkeys(case["draw"]["dataset"] for case in cases):
        gaps = [
            float(np.mean([row["gap"] for row in rows if row["case"].startswith(dataset)]))
            for rows in (guided, paper)
        ]
        lines.append(f"{dataset}: mean Avg Gap guided {gaps[0]:.3f}, paper {gaps[1]:.3f}")
    return "\n".join(lines)


def rule_table(cases: Sequence[Case]) -> str:
    """Avg Gap, attack AUC, fall of test accuracy in points, and epochs run, for each rule."""
    grouped = _grouped(cases, "rules")
    names = list(dict.fromkeys(map(name_of, cases)))
    rules = list(dict.fromkeys(rule for _, rule in grouped))
    rows = []
    for name in names:
        rows.append([name, *(_rule_cell(grouped[name, rule]) for rule in rules)])
    everything = [[row for name in names for row in grouped[name, rule]] for rule in rules]
    rows.append(["all cases", *map(_rule_cell, everything)])
    return (
        "Stopping rules: Avg Gap, AUC, fall of test accuracy in points, epochs run\n"
        + report.table(["case", *rules], rows)
    )


def _rule_cell(rows: Sequence[Row]) -> str:
    gap, auc, fall, last = (float(_mean(rows, f) or 0.0) for f in ("gap", "auc", "fall", "last"))
    return f"{gap:.3f} {auc:.2f} {100 * fall:+.1f} {last:4.1f}"


def coalesced_table(found: Sequence[Row]) -> str:
    header = (
        "requests",
        "forget",
        "epochs",
        "unlearning s",
        "total s",
        "Avg Gap",
        "AUC",
        "verdict",
    )
    rows = [
        [
            row["requests"],
            row["n_forget"],
            row["epochs"],
            f"{row['unlearning_seconds']:.2f}",
            f"{row['total_seconds']:.2f}",
            f"{row['gap']:.3f}",
            f"{row['auc']:.3f}",
            row["verdict"],
        ]
        for row in found
    ]
    ratio = found[-1]["total_seconds"] / found[0]["total_seconds"]
    return report.table(header, rows) + f"\n{ratio:.2f} times the time of one request"
