"""Does the verdict rule say what is true? Planted cases on MNIST-5k, and error rates under gold.

    python -m benchmarks.verification --quick
    python -m benchmarks.verification --json docs/benchmarks/verification.json

Every world trains its models once and answers for all rows; a draw then chooses forget, validation
and test rows and takes a verdict. Draws of one world share its models and overlap in their rows,
and those of n_f = 100 and 300 with a planted F share F itself: the intervals printed (Wilson, 95 %)
treat draws as independent and are somewhat too narrow. "Any rows" draws forget and unseen rows from
all rows that gold never saw, thousands of sets instead of a few, and is what error rates come from.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks import verification_tables as tables
from benchmarks.data import mnist
from benchmarks.draws import PERMUTATIONS, POLICY, Outcome, from_case, from_people, from_unseen
from benchmarks.persons import everybody_styled, odd_one_out
from benchmarks.planted import Case, World, build
from benchmarks.processes import on_one_core
from workers.unlearning.data import LabelledSet

TRUTHS = ("gold", "untouched", "over-unlearned", "LoTUS", "whole class")
# Who asks in which world; a model of people with styles still knows those whom it was trained on.
STYLED, FAINT, ODD, KNOWN = "everybody styled", "faintly styled", "odd one out", "styled, untouched"
PERSONS = tuple(
    f"{name}, {naming}" for name in (STYLED, FAINT, ODD, KNOWN) for naming in ("named", "unnamed")
)[:-1]


@dataclass(frozen=True)
class Plan:
    worlds: int
    repeats: int  # forget sets of each kind in a world
    draws: int  # a cell, over all worlds
    person_draws: int
    error_draws: int


QUICK = Plan(worlds=1, repeats=1, draws=8, person_draws=8, error_draws=16)
FULL = Plan(worlds=8, repeats=2, draws=200, person_draws=120, error_draws=400)


def run_world(task: tuple[str, int], plan: Plan) -> list[Outcome]:
    """One world and all its draws: of planted cases, or of persons."""
    on_one_core()
    kind, seed = task
    rng = np.random.default_rng([seed, 4])
    draws = _share(plan.draws, plan.worlds, seed)
    if kind == "persons":
        of_persons = _share(plan.person_draws, plan.worlds, seed)
        return list(_persons(mnist(), seed, of_persons, rng))
    world = build(mnist(), seed, repeats=plan.repeats)
    found: list[Outcome] = []
    for n_f in (10, 30, 100, 300):
        for name in TRUTHS:
            found += _cell(world, name, n_f, draws, from_case, rng)
        for name in ("gold", "whole class"):
            many = _share(plan.error_draws, plan.worlds, seed)
            found += _cell(world, name, n_f, many, from_unseen, rng)
    return found


def _persons(
    images: LabelledSet, seed: int, draws: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    for people, name, known in (
        (everybody_styled(images, seed), STYLED, KNOWN),
        (everybody_styled(images, seed, strength=0.4), FAINT, None),
        (odd_one_out(images, seed), ODD, None),
    ):
        for named in (True, False):
            naming = "named" if named else "unnamed"
            for n_f in (30, 100):
                for _ in range(draws):
                    yield from_people(people, f"{name}, {naming}", people.asking, named, n_f, rng)
                for _ in range(draws if known and named else 0):
                    yield from_people(people, f"{known}, {naming}", people.known, named, n_f, rng)


Draw = Callable[[World, Case, int, np.random.Generator], Outcome]


def _cell(
    world: World, name: str, n_f: int, draws: int, draw: Draw, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Draws in turn from the models that have this truth, if any has this size."""
    cases = [
        case
        for case in world.cases
        if case.name == name
        and n_f in case.sizes
        and (draw is not from_case or n_f <= len(case.forget))
    ]
    for number in range(draws if cases else 0):
        yield draw(world, cases[number % len(cases)], n_f, rng)


def _share(draws: int, worlds: int, seed: int) -> int:
    return draws // worlds + (seed < draws % worlds)


def summary(outcomes: Iterable[Outcome], plan: Plan, seconds: float) -> dict[str, Any]:
    cells: tables.Cells = defaultdict(list)
    for outcome in outcomes:
        cells[outcome.case, outcome.n_f].append(outcome)
    return {
        "benchmark": "verification",
        "plan": asdict(plan),
        "permutations": PERMUTATIONS,
        "seconds": round(seconds, 1),
        "policy": POLICY.model_dump(),
        "planted": tables.verdicts(cells, TRUTHS),
        "persons": tables.verdicts(cells, PERSONS),
        "errors": tables.errors(cells, ("gold, any rows", "whole class, any rows")),
    }


def words(results: dict[str, Any]) -> str:
    worlds, draws = (results["plan"][name] for name in ("worlds", "draws"))
    return "\n".join(
        [
            f"{worlds} worlds, {draws} draws a cell, {results['seconds']} s",
            "\nPlanted cases: verdicts",
            tables.verdict_table(results["planted"]),
            "\nPersons: verdicts; all but the untouched were never seen by the model",
            tables.verdict_table(results["persons"]),
            "\nError rates under gold",
            tables.error_table(results["errors"]),
            f"\nA uniform same-model p has a chi-square below {tables.CHI_SQUARE_10_BINS}.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one world, a few draws")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path, metavar="PATH")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else FULL
    start = time.perf_counter()
    tasks = [(kind, seed) for seed in range(plan.worlds) for kind in ("planted", "persons")]
    with ProcessPoolExecutor(max_workers=options.workers) as processes:
        found = list(chain.from_iterable(processes.map(partial(run_world, plan=plan), tasks)))
    results = summary(found, plan, time.perf_counter() - start)
    print(words(results))
    if options.json:
        report.write_json(options.json, results)


if __name__ == "__main__":
    main()
