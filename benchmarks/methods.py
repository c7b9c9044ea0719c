"""Every unlearning method against a retrained model, on real data.

    python -m benchmarks.methods --quick
    python -m benchmarks.methods --json docs/benchmarks/methods.json

A small ResNet memorises 500 samples of MNIST-5k (14x14) or digits (8x8); 100 or 20 of them, drawn
at random, are to be forgotten. Gold is the same network trained on the others. Rows:

    gold, second gold   another seed of gold: no method can be asked to come closer than that
    noop                the original model
    lotus guided        as the service plans it for these sizes
    lotus paper         the settings of the paper; as `released` runs them, with alpha 8
    retrain             the library's exact retraining: once more a gold, not ranked
    NAME                any other method of the registry with the settings of its authors
    NAME (small set)    the same made to act on a small set: about 80 steps, that is 20 epochs, and
                        for random_label and bad_teacher learning rate 3e-4 instead of 1e-4. These
                        are the changes that guided LoTUS makes to the paper's settings. unsir gets
                        less noise. ssd takes no steps, so it has no such row.

The small-set settings are one guess, not tuned: where they do worse than the authors' own, some
value between would do better than either. Guided LoTUS is the only method that the validation set
stops (scrub's rewind is off, as by default), and that is an advantage.

Every method gets the same forget, retain and validation set; everything is measured on a test set
that none has read. Columns: Avg Gap to gold (MIA accuracy, accuracy on forget, retain and test
set), divergence to gold on the forget set, RF-JSD, class-conditional attack AUC (.5 is the target),
test accuracy, seconds of one core. Mean and standard deviation over training seeds x unlearning
seeds. The mean Avg Gap decides the rank. A method that fails leaves the original model, and counts
so. unsir with its authors' settings takes half a minute a run: it gets one seed, and is left out of
a quick run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import report, standings
from benchmarks.cases import TRAINED, Case, Draw, make
from benchmarks.data import DATASETS
from benchmarks.entrants import SMALL_SET, Entrant, entrants, unlearn
from benchmarks.likeness import Answers, answers, likeness
from benchmarks.processes import on_one_core

GOLD, SECOND_GOLD = "gold", "second gold"


@dataclass(frozen=True)
class Plan:
    datasets: tuple[str, ...]
    forget_sizes: tuple[int, ...]
    training_seeds: int
    unlearning_seeds: int
    costly: bool = False  # with methods that take half a minute a run
    n_trained: int = TRAINED
    epochs: int | None = None  # of training; the network's own if None


FULL = Plan(tuple(DATASETS), (100, 20), training_seeds=3, unlearning_seeds=3, costly=True)
QUICK = Plan(tuple(DATASETS), (100,), training_seeds=1, unlearning_seeds=1)
SMOKE = Plan(("digits",), (20,), 1, 1, n_trained=100, epochs=1)


def measure(draw: Draw, plan: Plan) -> list[dict[str, Any]]:
    """Every row of the table for one forget set."""
    on_one_core()
    case = make(draw)
    original, gold = answers(case.original, case.sets), answers(case.gold, case.sets)
    record = partial(_record, case, original, gold)
    found = [record(GOLD, 0, gold, case.gold_seconds)]
    for seed in range(plan.unlearning_seeds):
        started = time.process_time()
        second = case.retrained(seed)
        seconds = time.process_time() - started
        found.append(record(SECOND_GOLD, seed, answers(second, case.sets), seconds))
        taking_part = [
            e for e in entrants() if not e.costly or (plan.costly and seed == draw.seed == 0)
        ]
        found.extend(_unlearned(case, entrant, seed, record) for entrant in taking_part)
    _say(f"{draw.dataset}, forget {draw.n_forget}, training seed {draw.seed}: {len(found)} runs")
    return found


def _unlearned(case: Case, entrant: Entrant, seed: int, record: Any) -> dict[str, Any]:
    done = unlearn(entrant, case, 1_000 * case.draw.seed + seed)
    row: dict[str, Any] = record(entrant.name, seed, answers(done.model, case.sets), done.seconds)
    return row | {
        "method": entrant.method,
        "epochs": done.epochs,
        "kept_epoch": done.kept_epoch,
        "failure": done.failure,
    }


def _record(
    case: Case,
    original: Answers,
    gold: Answers,
    name: str,
    seed: int,
    of_model: Answers,
    seconds: float,
) -> dict[str, Any]:
    return {
        "dataset": case.draw.dataset,
        "n_forget": case.draw.n_forget,
        "name": name,
        "training_seed": case.draw.seed,
        "unlearning_seed": seed,
        **likeness(of_model, original, gold, case.sets),
        "seconds": seconds,
    }


def _draws(plan: Plan) -> Iterator[Draw]:
    for seed in range(plan.training_seeds):
        for dataset in plan.datasets:
            for size in plan.forget_sizes:
                yield Draw(dataset, size, seed, n_trained=plan.n_trained, epochs=plan.epochs)


def run(plan: Plan, workers: int) -> list[dict[str, Any]]:
    measured = partial(measure, plan=plan)
    if workers == 1:
        return [row for draw in _draws(plan) for row in measured(draw)]
    with ProcessPoolExecutor(max_workers=workers) as processes:
        return [row for rows in processes.map(measured, _draws(plan)) for row in rows]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one seed, one forget size")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--dataset", choices=tuple(DATASETS), help="only this one")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path, metavar="PATH")
    options = parser.parse_args(arguments)
    plan = SMOKE if options.smoke else QUICK if options.quick else FULL
    if options.dataset:
        plan = replace(plan, datasets=(options.dataset,))
    started = time.perf_counter()
    rows = run(plan, options.workers)
    seconds = round(time.perf_counter() - started, 1)
    tables = standings.tables(rows)
    print(
        f"{plan.n_trained} training samples, {plan.training_seeds} training x "
        f"{plan.unlearning_seeds} unlearning seeds, {seconds} s"
    )
    for table in tables:
        print("\n" + standings.as_text(table))
    overall = standings.overall(tables)
    print("\n" + standings.overall_as_text(overall))
    print("\nsmall set: " + "; ".join(f"{name} {values}" for name, values in SMALL_SET.items()))
    if options.json:
        results = {
            "benchmark": "methods",
            "quick": options.quick,
            "training_seeds": plan.training_seeds,
            "unlearning_seeds": plan.unlearning_seeds,
            "trained_samples": plan.n_trained,
            "small_set": SMALL_SET,
            "seconds": seconds,
            "tables": tables,
            "overall": overall,
            "runs": rows,
        }
        report.write_json(options.json, results)


if __name__ == "__main__":
    main()
