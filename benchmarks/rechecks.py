"""Does a re-check call a relapse a relapse, and nothing else? Planted later versions on MNIST-5k.

    python -m benchmarks.rechecks --quick
    python -m benchmarks.rechecks --json docs/benchmarks/rechecks.json

A world is one model of 1,000 rows and the version that its cases rest on, from which guided LoTUS
has unlearned F, 250 of them, in one run. Later versions of it are planted:

    another run        guided LoTUS unlearned 50 other rows
    trained on D_r     ten epochs on the rows that may be kept: relapse without the data
    one case           ten epochs on D_r and the rows of one case
    every case         the model as it was before F was unlearned

A draw takes K cases of n rows out of F and asks the rule. Draws of one world share its versions and
overlap in their rows: the intervals printed (Wilson, 95 %) are somewhat too narrow.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from benchmarks import report
from benchmarks.data import NUM_CLASSES, mnist, split
from benchmarks.processes import on_one_core
from benchmarks.training import trained
from workers.unlearning import rechecks
from workers.unlearning.conditional import Floats, class_places, percentiles
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.distributions import wilson_interval
from workers.unlearning.evaluation import predict
from workers.unlearning.methods import REGISTRY
from workers.unlearning.rechecks import Change
from workers.unlearning.scores import evidence
from workers.unlearning.steering import plan_for

TRAINED, FORGET, OTHERS, UNSEEN = 1000, 250, 50, 1000
EPOCHS = 10  # of a later training
SHAPES = ((1, 1), (1, 5), (1, 10), (1, 25), (1, 100), (10, 10), (10, 25), (50, 5))
NULLS = ("another run", "trained on D_r")
RELAPSES = ("one case", "every case")
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    worlds: int
    relapsed: int  # versions in which one case relapsed, of each size and world
    draws: int  # a cell and world


QUICK = Plan(worlds=1, relapsed=1, draws=20)
FULL = Plan(worlds=4, relapsed=2, draws=100)


@dataclass(frozen=True)
class Outcome:
    truth: str
    cases: int
    samples: int
    pooled: bool  # all cases together raised the alarm
    named: int  # cases that relapsed and were named
    relapsed: int
    wrongly: int  # cases that did not, and were named
    alone: int  # the same two counts if each case were looked at alone, at .01 / K
    alone_wrongly: int
    change: float  # mean over the cases that relapsed, or over all if none did


def run_world(seed: int, plan: Plan) -> list[Outcome]:
    on_one_core()
    images = mnist()
    known, validation, test = split(images, [TRAINED, UNSEEN, UNSEEN], seed)
    rng = np.random.default_rng([seed, 30])
    order = rng.permutation(TRAINED)
    forget, others, kept = np.split(order, [FORGET, FORGET + OTHERS])
    base = trained(known, 1000 * seed)
    retain = np.concatenate([others, kept])
    resting = _unlearned(base, known, forget, retain, validation, seed)

    def asked(model: nn.Module) -> tuple[Floats, Floats]:
        return _phi(model, known), _phi(model, test)

    before = asked(resting)
    labels, unseen_labels = known.labels.numpy(), test.labels.numpy()

    def compared(now: tuple[Floats, Floats], case: Rows) -> Change:
        places = class_places(labels[case], unseen_labels)
        shares = [percentiles(places, side[0][case], side[1]) for side in (before, now)]
        return rechecks.change(places, shares[0], shares[1])

    found: list[Outcome] = []
    later = {
        "another run": asked(_unlearned(resting, known, others, kept, validation, seed + 500)),
        "trained on D_r": asked(_trained_on(resting, known, retain, seed)),
        "every case": asked(base),
    }
    for truth, now in later.items():
        for cases, samples in SHAPES:
            for _ in range(plan.draws):
                drawn = _cases(rng, forget, cases, samples)
                back = set(range(cases)) if truth == "every case" else set()
                found.append(_outcome(truth, [compared(now, case) for case in drawn], back))
    for samples in sorted({samples for _, samples in SHAPES}):
        for number in range(plan.relapsed):
            case = rng.choice(forget, samples, replace=False)
            model = _trained_on(resting, known, np.concatenate([retain, case]), 10 * seed + number)
            now, left = asked(model), np.setdiff1d(forget, case)
            for cases in (cases for cases, size in SHAPES if size == samples):
                # One case alone cannot be drawn again: it is the same rows.
                for _ in range(plan.draws // plan.relapsed if cases > 1 else 1):
                    drawn = [case, *_cases(rng, left, cases - 1, samples)]
                    found.append(_outcome("one case", [compared(now, one) for one in drawn], {0}))
    return found


def _cases(rng: np.random.Generator, rows: Rows, cases: int, samples: int) -> list[Rows]:
    """Disjoint as long as the rows last: 50 cases of 5 are all of F."""
    wanted = cases * samples
    drawn = rng.permutation(rows)[:wanted]
    if len(drawn) < wanted:
        drawn = np.concatenate([drawn, rng.choice(rows, wanted - len(drawn), replace=False)])
    return np.split(drawn, cases) if cases else []


def _outcome(truth: str, changes: list[Change], back: set[int]) -> Outcome:
    pooled, alarms = rechecks.recheck(changes)
    named = {number for number, alarm in enumerate(alarms) if alarm.alarm}
    alone = {
        number
        for number, one in enumerate(rechecks.case_alarms(changes))
        if one.p_value <= 0.01 / len(changes) and one.difference >= rechecks.CASE_MARGIN
    }
    about = [changes[number].difference for number in (back or range(len(changes)))]
    return Outcome(
        truth,
        len(changes),
        changes[0].samples,
        pooled.alarm,
        len(named & back),
        len(back),
        len(named - back),
        len(alone & back),
        len(alone - back),
        float(np.mean(about)),
    )


def _unlearned(
    model: nn.Module,
    known: LabelledSet,
    forget: Rows,
    retain: Rows,
    validation: LabelledSet,
    seed: int,
) -> nn.Module:
    """As the service does it by default."""
    sets = [known.select(torch.from_numpy(rows)) for rows in (forget, retain)]
    data = UnlearningData(sets[0], sets[1], validation, NUM_CLASSES)
    student = copy.deepcopy(model)
    config = plan_for(data, "convolutional")
    for _ in REGISTRY["lotus"].unlearn(student, data, config, torch.Generator().manual_seed(seed)):
        pass
    return student.eval()


def _trained_on(model: nn.Module, known: LabelledSet, rows: Rows, seed: int) -> nn.Module:
    """Goes on training, as an owner might who was handed the rows."""
    student = copy.deepcopy(model).train()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        order = torch.from_numpy(rows)[torch.randperm(len(rows), generator=generator)]
        for part in torch.split(order, 64):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(student(known.inputs[part]), known.labels[part])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return student.eval()


def _phi(model: nn.Module, samples: LabelledSet) -> Floats:
    return evidence(predict(model, samples.inputs).double().numpy(), samples.labels.numpy())


def rates(outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    cells: dict[tuple[str, int, int], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        cells[outcome.truth, outcome.cases, outcome.samples].append(outcome)
    for truth in (*NULLS, *RELAPSES):
        for cases, samples in SHAPES:
            cell = cells[truth, cases, samples]
            relapsed = sum(one.relapsed for one in cell)
            wrongly = sum(one.wrongly > 0 for one in cell)
            yield {
                "truth": truth,
                "cases": cases,
                "samples": samples,
                "draws": len(cell),
                "change": float(np.mean([one.change for one in cell])),
                "pooled": sum(one.pooled for one in cell) / len(cell),
                "named": sum(one.named for one in cell) / relapsed if relapsed else None,
                "alone": sum(one.alone for one in cell) / relapsed if relapsed else None,
                "alone_wrongly": sum(one.alone_wrongly > 0 for one in cell) / len(cell),
                "wrongly": wrongly / len(cell),
                "wrongly_95": list(wilson_interval(wrongly, len(cell))),
            }


def words(results: dict[str, Any]) -> str:
    rows = [
        [
            row["truth"],
            row["cases"],
            row["samples"],
            row["draws"],
            f"{row['change']:+.3f}",
            f"{row['pooled']:.3f}",
            "" if row["named"] is None else f"{row['named']:.3f}",
            "" if row["alone"] is None else f"{row['alone']:.3f}",
            f"{row['alone_wrongly']:.3f}",
            f"{row['wrongly']:.3f}",
            f"{row['wrongly_95'][0]:.3f} to {row['wrongly_95'][1]:.3f}",
        ]
        for row in results["rates"]
    ]
    head = (
        "later version",
        "K",
        "n",
        "draws",
        "change",
        "pooled",
        "named",
        "alone",
        "alone wrongly",
        "wrongly",
        "95 %",
    )
    plan = results["plan"]
    return "\n".join(
        [
            f"{plan['worlds']} worlds, {plan['draws']} draws a cell and world, "
            f"{results['seconds']} s",
            "pooled: all cases together raised the alarm; named: share of the relapsed cases that",
            "were reopened; wrongly: draws in which a case was reopened that had not relapsed.",
            "",
            report.table(head, rows),
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
    with ProcessPoolExecutor(max_workers=options.workers) as processes:
        worlds = processes.map(partial(run_world, plan=plan), range(plan.worlds))
        found = list(chain.from_iterable(worlds))
    results = {
        "benchmark": "rechecks",
        "plan": asdict(plan),
        "seconds": round(time.perf_counter() - start, 1),
        "rates": list(rates(found)),
    }
    print(words(results))
    if options.json:
        report.write_json(options.json, results)


if __name__ == "__main__":
    main()
