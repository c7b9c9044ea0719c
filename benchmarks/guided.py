"""Guided LoTUS against the paper's settings, and the rule by which it stops, on real data.

    python -m benchmarks.guided --quick
    python -m benchmarks.guided --json docs/benchmarks/guided.json

Cases: MNIST-5k and digits, 500 training samples; 5 to 200 of them to forget, drawn at random, or
consecutive rows of digits (roughly one writer each, `block`); a small ResNet, and a CNN and an MLP
without BatchNorm. Rows of the first table:

    noop, lotus paper, lotus guided, second gold, gold

with Avg Gap to gold (MIA accuracy, accuracy on forget, retain and test set), divergence to gold,
fall of test accuracy below the original and below gold (points), attack AUC and band advantage on
the test set, the epoch kept and the last one run, the share of runs that the service would publish
under its default policy, and seconds of one core, verification not included.

Second table: guided mode run to its last epoch, and every stopping rule read off that one curve.
`guided` is the library's; `band` is the rule that it replaced. No rule sees the test set.

Third table: one request of 10 samples against 50 of them in one run, out of 3,000 training samples,
in seconds, with verification.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from app.erasure.verdict import VerificationPolicy, judge
from benchmarks import report
from benchmarks.cases import Case, Draw, make
from benchmarks.entrants import Entrant, entrants, unlearn
from benchmarks.guided_tables import coalesced_table, contender_table, rule_table, summary
from benchmarks.likeness import Answers, answers, likeness
from benchmarks.processes import on_one_core
from benchmarks.stopping import RULES, Point
from workers.unlearning.config import LotusConfig
from workers.unlearning.evaluation import EvaluationSets, Observation, observe, predict
from workers.unlearning.methods import lotus
from workers.unlearning.steering import members, validation_signal
from workers.unlearning.verification import reference_check, verify

PERMUTATIONS = 199
POLICY = VerificationPolicy()
REQUEST, REQUESTS, MANY_TRAINED = 10, 50, 3_000


@dataclass(frozen=True)
class Group:
    draws: tuple[Draw, ...]  # their seed is replaced
    seeds: int


def _each(dataset: str, networks: Sequence[str], sizes: Sequence[int]) -> tuple[Draw, ...]:
    return tuple(Draw(dataset, n, 0, network=network) for network in networks for n in sizes)


SIZES = (5, 10, 20, 50, 100, 200)
FULL = (
    Group(_each("digits", ("resnet",), SIZES), seeds=5),
    Group(_each("mnist", ("resnet",), SIZES), seeds=3),
    Group(tuple(Draw("digits", n, 0, subject="block") for n in (20, 100, 200)), seeds=3),
    Group(_each("digits", ("cnn", "mlp"), (20, 100)), seeds=2),
    Group(_each("mnist", ("cnn", "mlp"), (20, 100)), seeds=2),
)
QUICK = (
    Group((Draw("digits", 100, 0), Draw("mnist", 100, 0)), seeds=1),
    Group((Draw("digits", 10, 0),), seeds=1),
)
SMOKE = (Group((Draw("digits", 20, 0, n_trained=80, epochs=2),), seeds=1),)


def measure(draw: Draw) -> dict[str, Any]:
    """One case: its contenders, and its curve under every rule."""
    on_one_core()
    case = make(draw)
    original, gold = answers(case.original, case.sets), answers(case.gold, case.sets)
    look = partial(_figures, case, original, gold)
    before = observe(case.original, _evaluation(case))
    rows = [{"name": "noop", **look(case.original), **_judged(case, before, case.original)}]
    for entrant in entrants():
        if entrant.name in ("lotus paper", "lotus guided"):
            rows.append(_contender(case, entrant, look, before))
    second = case.retrained(0)
    rows.append({"name": "second gold", **look(second), **_judged(case, before, second)})
    rows.append({"name": "gold", **look(case.gold), **_judged(case, before, case.gold)})
    curve = _curve(case, look)
    rules = []
    for name, rule in RULES.items():
        kept, last = rule(curve)
        rules.append({"name": name, **kept.likeness, "epoch": kept.epoch, "last": last})
    gaps = ", ".join(f"{row['name']} {row['gap']:.3f}" for row in rows)
    _say(f"{draw.dataset} {draw.network} {draw.subject} {draw.n_forget}, seed {draw.seed}: {gaps}")
    return {"draw": vars(draw), "contenders": rows, "rules": rules}


def _contender(case: Case, entrant: Entrant, look: Any, before: Observation) -> dict[str, Any]:
    done = unlearn(entrant, case, 1_000 * case.draw.seed)
    return {
        "name": entrant.name,
        **look(done.model),
        **_judged(case, before, done.model),
        "epoch": done.kept_epoch,
        "last": done.epochs,
        "seconds": done.seconds,
    }


def _figures(case: Case, original: Answers, gold: Answers, model: nn.Module) -> dict[str, Any]:
    of_model = answers(model, case.sets)
    found: dict[str, Any] = likeness(of_model, original, gold, case.sets)
    was, golden = (likeness(of, original, gold, case.sets)["test"] for of in (original, gold))
    return found | {"fall": was - found["test"], "below_gold": golden - found["test"]}


def _evaluation(case: Case) -> EvaluationSets:
    return EvaluationSets(case.data.forget, case.data.retain, case.data.validation, case.sets.test)


def _judged(case: Case, before: Observation, model: nn.Module) -> dict[str, Any]:
    """What the service would say and do about this model."""
    forget, test = case.sets.forget, case.sets.test
    seed = case.draw.seed
    check = reference_check(
        forget.inputs, forget.labels, test.inputs, test.labels, seed, permutations=PERMUTATIONS
    )
    after = observe(model, _evaluation(case))
    found = verify(before, after, seed=seed, permutations=PERMUTATIONS, reference=check)
    verdict = judge(found.to_dict(), POLICY)
    return {"verdict": verdict.name.value, "published": verdict.publish}


def _curve(case: Case, look: Any) -> list[Point]:
    """Guided mode, never stopped; every epoch is measured."""
    guided = next(e for e in entrants() if e.name == "lotus guided").config(case)
    config: LotusConfig = replace(guided, steer=False)
    model = copy.deepcopy(case.original)
    generator = torch.Generator().manual_seed(1_000 * case.draw.seed)
    points = []
    for epoch in lotus.unlearn(model, case.data, config, generator):
        forget, unseen, trained = (
            predict(model, samples.inputs)
            for samples in (case.data.forget, case.data.validation, members(case.data))
        )
        signal = validation_signal(forget, unseen, trained, case.data)
        points.append(Point(epoch.number, epoch.steps, signal, look(model)))
    return points


def coalesced(dataset: str = "mnist") -> list[dict[str, Any]]:
    """Seconds of one small request, and of many in one run."""
    on_one_core()
    found = []
    guided = next(e for e in entrants() if e.name == "lotus guided")
    for requests in (1, REQUESTS):
        case = make(Draw(dataset, REQUEST * requests, 0, n_trained=MANY_TRAINED))
        started = time.process_time()
        done = unlearn(guided, case, 0)
        unlearned = time.process_time() - started
        before = observe(case.original, _evaluation(case))
        judged = _judged(case, before, done.model)
        original, gold = answers(case.original, case.sets), answers(case.gold, case.sets)
        total = time.process_time() - started
        found.append(
            {
                "requests": requests,
                "n_forget": REQUEST * requests,
                "epochs": done.epochs,
                "unlearning_seconds": unlearned,
                "total_seconds": total,
                **judged,
                **_figures(case, original, gold, done.model),
            }
        )
    return found


def _draws(groups: Sequence[Group]) -> Iterator[Draw]:
    # Seeds outermost: a run that is cut short has every case.
    for seed in range(max(group.seeds for group in groups)):
        for group in groups:
            if seed < group.seeds:
                yield from (replace(draw, seed=seed) for draw in group.draws)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="three cases, one seed")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path, metavar="PATH")
    options = parser.parse_args(arguments)
    groups = SMOKE if options.smoke else QUICK if options.quick else FULL
    started = time.perf_counter()
    if options.workers == 1:
        cases = [measure(draw) for draw in _draws(groups)]
    else:
        with ProcessPoolExecutor(max_workers=options.workers) as processes:
            cases = list(processes.map(measure, _draws(groups)))
    many = [] if options.quick or options.smoke else coalesced()
    seconds = round(time.perf_counter() - started, 1)
    print(f"{len(cases)} cases, {seconds} s\n\n{contender_table(cases)}\n\n{rule_table(cases)}")
    if many:
        print("\n" + coalesced_table(many))
    if options.json:
        results = {
            "benchmark": "guided",
            "quick": options.quick,
            "seconds": seconds,
            "policy": POLICY.model_dump(),
            "summary": summary(cases),
            "coalesced": many,
            "cases": cases,
        }
        report.write_json(options.json, results)


if __name__ == "__main__":
    main()
