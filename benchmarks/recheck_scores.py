"""The rule of a re-check on scores whose truth is known: how often it is wrong, and what it misses.

    python -m benchmarks.recheck_scores

No model: scores are unit normals, correlated .6 between two versions, against 1,000 unseen rows of
10 classes; a relapse lifts a case's scores so that its AUC rises by .21, training on the remaining
data alone by .05. What networks do is `benchmarks.rechecks`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from workers.unlearning import rechecks
from workers.unlearning.conditional import class_places, percentiles
from workers.unlearning.rechecks import Change

UNSEEN, CLASSES, CORRELATION = 1000, 10, 0.6
# P(X + shift > Y) of unit normals: .5 + .21 and .5 + .05.
FULL, DRIFT = math.sqrt(2) * 0.55338, math.sqrt(2) * 0.12566
SHAPES = ((1, 1), (1, 3), (1, 5), (1, 10), (1, 30), (1, 100), (3, 30), (10, 10), (10, 30), (50, 10))


def draw(rng: np.random.Generator, shifts: Sequence[float], samples: int) -> list[Change]:
    noise = math.sqrt(1 - CORRELATION**2)
    unseen = rng.normal(size=UNSEEN)
    later = CORRELATION * unseen + noise * rng.normal(size=UNSEEN)
    found = []
    for shift in shifts:
        labels = rng.integers(0, CLASSES, size=samples)
        places = class_places(labels, np.arange(UNSEEN) % CLASSES)
        before = rng.normal(size=samples)
        now = CORRELATION * before + noise * rng.normal(size=samples) + shift
        shares = percentiles(places, before, unseen), percentiles(places, now, later)
        found.append(rechecks.change(places, *shares))
    return found


def rates(draws: int, cases: int, samples: int) -> dict[str, Any]:
    """Shares of draws: wrongly, that some case was named without a relapse; of relapsed cases, that
    they were named."""
    rng = np.random.default_rng([cases, samples])
    row: dict[str, Any] = {"cases": cases, "samples": samples, "draws": draws}
    for truth, shifts in (
        ("nothing", [0.0] * cases),
        ("drift", [DRIFT] * cases),
        ("one", [FULL] + [0.0] * (cases - 1)),
        ("all", [FULL] * cases),
    ):
        named = wrongly = 0
        for _ in range(draws):
            _, alarms = rechecks.recheck(draw(rng, shifts, samples))
            found = [shift == FULL for shift, one in zip(shifts, alarms, strict=False) if one.alarm]
            named += sum(found)
            wrongly += len(found) > sum(found)
        if truth in ("one", "all"):
            row[truth] = named / (draws * shifts.count(FULL))
        else:
            row[truth] = wrongly / draws
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the draws")
    parser.add_argument("--json", type=Path, metavar="PATH")
    options = parser.parse_args(arguments)
    draws = 40 if options.quick else 400
    rows = [rates(max(20, draws // cases), cases, samples) for cases, samples in SHAPES]
    names = ("cases", "samples", "draws", "nothing", "drift", "one", "all")
    head = ("K", "n", "draws", "wrongly: no change", "drift", "named: one of K", "all K")
    print(report.table(head, [[_shown(row[name]) for name in names] for row in rows]))
    if options.json:
        report.write_json(options.json, {"benchmark": "recheck_scores", "rates": rows})


def _shown(value: float) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
