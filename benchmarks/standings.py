"""From single runs to tables: means, spreads, ranks, and whether RF-JSD orders methods as JSD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import report

FIGURES = ("gap", "jsd", "rf_jsd", "auc", "test", "forget", "retain", "mia", "band", "seconds")
# They have seen gold's recipe, or are gold: nothing to be ranked.
UNRANKED = ("gold", "second gold", "retrain")
HEADER = ("method", "rank", "Avg Gap", "JSD", "RF-JSD", "AUC", "test acc.", "seconds")

# Nats. A model that was destroyed is far from gold by every measure, and a few of them make any
# correlation; the question is how RF-JSD orders those that came close.
CLOSE = 0.1

Row = dict[str, Any]


def tables(runs: Sequence[Row]) -> list[Row]:
    """One table for each data set and size of forget set, in the order of the runs."""
    keys = list(dict.fromkeys((run["dataset"], run["n_forget"]) for run in runs))
    return [
        _table(key, [run for run in runs if (run["dataset"], run["n_forget"]) == key])
        for key in keys
    ]


def _table(key: tuple[str, int], runs: Sequence[Row]) -> Row:
    names = list(dict.fromkeys(run["name"] for run in runs))
    rows = [_summary(name, [run for run in runs if run["name"] == name]) for name in names]
    ranked = sorted((r for r in rows if r["name"] not in UNRANKED), key=lambda r: r["mean"]["gap"])
    for rank, row in enumerate(ranked, 1):
        row["rank"] = rank
    compared = [row for row in rows if row["name"] != "gold"]
    return {
        "dataset": key[0],
        "n_forget": key[1],
        "rows": rows,
        "correlation": correlation(compared),
        "correlation_of_close": correlation([r for r in compared if r["mean"]["jsd"] < CLOSE]),
    }


def _summary(name: str, runs: Sequence[Row]) -> Row:
    values = {figure: np.array([run[figure] for run in runs]) for figure in FIGURES}
    return {
        "name": name,
        "rank": None,
        "runs": len(runs),
        "failures": sum(run.get("failure") is not None for run in runs),
        "mean": {figure: float(of.mean()) for figure, of in values.items()},
        "sd": {
            figure: float(of.std(ddof=1)) if len(of) > 1 else 0.0 for figure, of in values.items()
        },
    }


def correlation(rows: Sequence[Row]) -> Row:
    """Of the means of RF-JSD and of JSD to gold over methods: Pearson and Spearman."""
    rf_jsd = np.array([row["mean"]["rf_jsd"] for row in rows])
    jsd = np.array([row["mean"]["jsd"] for row in rows])
    return {
        "methods": len(rows),
        "pearson": _pearson(rf_jsd, jsd),
        "spearman": _pearson(_ranks(rf_jsd), _ranks(jsd)),
    }


def _pearson(x: Any, y: Any) -> float:
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: Any) -> Any:
    """Equal values share the mean of their places."""
    ordered = np.sort(values)
    return (
        np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    ) / 2


def overall(found: Sequence[Row]) -> Row:
    """Mean Avg Gap over the tables, which decides who is best; LoTUS guided against paper."""
    gaps: dict[str, list[float]] = {}
    for table in found:
        for row in table["rows"]:
            gaps.setdefault(row["name"], []).append(row["mean"]["gap"])
    means = {name: float(np.mean(of)) for name, of in gaps.items()}
    return {
        "gap": means,
        "order": sorted((name for name in means if name not in UNRANKED), key=means.__getitem__),
        "guided_at_least_as_good_as_paper": [
            guided <= paper
            for guided, paper in zip(gaps["lotus guided"], gaps["lotus paper"], strict=True)
        ],
    }


def as_text(table: Mapping[str, Any]) -> str:
    rows = sorted(table["rows"], key=lambda row: (row["rank"] or 0, row["mean"]["gap"]))
    return "\n".join(
        [
            f"{table['dataset']}, forget {table['n_forget']}",
            report.table(HEADER, [_cells(row) for row in rows]),
            _correlated("", table["correlation"]),
            _correlated(f" with JSD below {CLOSE}", table["correlation_of_close"]),
        ]
    )


def _correlated(which: str, pair: Mapping[str, Any]) -> str:
    return (
        f"RF-JSD with JSD over {pair['methods']} rows{which}: "
        f"Pearson {pair['pearson']:.2f}, Spearman {pair['spearman']:.2f}"
    )


def _cells(row: Row) -> list[str]:
    def spread(figure: str, digits: int) -> str:
        return f"{row['mean'][figure]:.{digits}f} +-{row['sd'][figure]:.{digits}f}"

    failed = f" ({row['failures']} of {row['runs']} failed)" if row["failures"] else ""
    return [
        row["name"] + failed,
        str(row["rank"] or "-"),
        spread("gap", 3),
        spread("jsd", 4),
        spread("rf_jsd", 4),
        spread("auc", 3),
        spread("test", 3),
        spread("seconds", 2),
    ]


def overall_as_text(found: Mapping[str, Any]) -> str:
    order, gaps = found["order"], found["gap"]
    lines = ["Mean Avg Gap over the tables above"]
    lines += [f"{place:3d}. {name:28s} {gaps[name]:.3f}" for place, name in enumerate(order, 1)]
    lines += [f"     {name:28s} {gaps[name]:.3f}" for name in gaps if name not in order]
    held = found["guided_at_least_as_good_as_paper"]
    place = order.index("lotus guided") + 1
    lines.append(
        f"Best: {order[0]}. lotus guided has place {place} of {len(order)}; "
        f"its Avg Gap is at most lotus paper's in {sum(held)} of {len(held)} tables."
    )
    return "\n".join(lines)
