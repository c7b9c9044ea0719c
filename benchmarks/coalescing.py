"""Requests of one model share a run: what 1, 10 and 50 of them cost, from plan to report.

Ten samples a request, out of 4,000 training rows. The images are made up (a pattern for each class
under noise), since only their number matters here; the network is trained on them, so that guided
mode finds something to steer by. Where guided mode stops depends on the samples, not on how many
requests they came with: `fixed` runs take the same 40 steps each, and show what sharing costs;
`guided` runs stop by themselves.
"""

from __future__ import annotations

import copy
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.report import table
from benchmarks.training import small_resnet, train
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.evaluation import EvaluationSets, observe
from workers.unlearning.methods import REGISTRY
from workers.unlearning.planning import plan
from workers.unlearning.verification import verify

CLASSES = 10
SIDE = 14
SAMPLES_PER_REQUEST = 10
TRAINING, HELD_OUT, RETAIN_REPORTED = 4_000, 800, 1_600
REQUESTS = (1, 10, 50)
KINDS = ("fixed", "guided")
CASES = [(kind, requests) for kind in KINDS for requests in REQUESTS]
DECIDING = [("guided", REQUESTS[0]), ("guided", REQUESTS[-1])]


@dataclass(frozen=True)
class SharedRun:
    kind: str
    requests: int
    forget: int
    steps: int
    unlearning: float  # seconds
    verification: float  # seconds, the model before included

    @property
    def seconds(self) -> float:
        return self.unlearning + self.verification


def images(rows: int, generator: torch.Generator) -> LabelledSet:
    patterns = torch.rand(CLASSES, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    labels = torch.randint(CLASSES, (rows,), generator=generator)
    noise = torch.randn(rows, 1, SIDE, SIDE, generator=generator)
    return LabelledSet(patterns[labels] + 0.6 * noise, labels)


@dataclass(frozen=True)
class Fleet:
    """A trained model, its training rows, and unseen rows."""

    model: nn.Module
    training: LabelledSet
    validation: LabelledSet
    test: LabelledSet


def fleet(device: torch.device, *, epochs: int) -> Fleet:
    generator = torch.Generator().manual_seed(0)
    rows = images(TRAINING, generator)
    model = train(small_resnet(0), rows, 0, epochs=epochs).to(device)
    held_out = [images(HELD_OUT, generator) for _ in range(2)]
    return Fleet(
        model, *(LabelledSet(s.inputs.to(device), s.labels.to(device)) for s in (rows, *held_out))
    )


def shared_run(fleet: Fleet, requests: int, kind: str) -> SharedRun:
    rows = torch.arange(TRAINING, device=fleet.training.labels.device)
    size = requests * SAMPLES_PER_REQUEST
    forget, retain = fleet.training.select(rows[:size]), fleet.training.select(rows[size:])
    sets = EvaluationSets(
        forget, retain.select(rows[:RETAIN_REPORTED]), fleet.validation, fleet.test
    )
    student = copy.deepcopy(fleet.model)
    started = time.perf_counter()
    before = observe(student, sets)
    observed = time.perf_counter()
    data = UnlearningData(forget, retain, fleet.validation, CLASSES)
    # A plan without validation samples is one of a fixed number of steps.
    seen = len(fleet.validation) if kind == "guided" else 0
    config = plan(size, len(retain), seen, kind="convolutional")
    epochs = list(
        REGISTRY["lotus"].unlearn(student, data, config, torch.Generator().manual_seed(0))
    )
    unlearned = time.perf_counter()
    persons = np.arange(size) // SAMPLES_PER_REQUEST
    verify(before, observe(student, sets), seed=0, persons=persons)
    ended = time.perf_counter()
    return SharedRun(
        kind=kind,
        requests=requests,
        forget=size,
        steps=epochs[-1].steps,
        unlearning=unlearned - observed,
        verification=ended - unlearned + observed - started,
    )


def compare(device: torch.device, *, quick: bool, rounds: int) -> list[dict[str, Any]]:
    """Prints the table; the best of the rounds for each case."""
    print("coalescing", file=sys.stderr)
    trained = fleet(device, epochs=3 if quick else 10)
    best: dict[tuple[str, int], SharedRun] = {}
    for number in range(rounds):
        for kind, requests in CASES:
            # In the quick form only what decides about the target is taken more than once.
            if number == 0 or not quick or (kind, requests) in DECIDING:
                run = shared_run(trained, requests, kind)
                known = best.get((kind, requests), run)
                best[kind, requests] = min(known, run, key=lambda r: r.seconds)
    one = {kind: best[kind, REQUESTS[0]].seconds for kind in KINDS}
    rows = [
        asdict(run) | {"seconds": run.seconds, "ratio": run.seconds / one[run.kind]}
        for run in best.values()
    ]
    print(
        f"\nCoalescing: requests of {SAMPLES_PER_REQUEST} samples in one run, "
        f"{TRAINING} training rows"
    )
    print(
        table(
            (
                "steps",
                "requests",
                "samples",
                "steps",
                "unlearning s",
                "verification s",
                "together s",
                "of one",
            ),
            [
                (
                    row["kind"],
                    row["requests"],
                    row["forget"],
                    row["steps"],
                    f"{row['unlearning']:.2f}",
                    f"{row['verification']:.2f}",
                    f"{row['seconds']:.2f}",
                    f"{row['ratio']:.2f}x",
                )
                for row in rows
            ],
        )
    )
    return rows
