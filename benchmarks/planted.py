"""Models whose truth about a forget set is known, and what they say about every row of a data set.

A world is one random division of MNIST-5k: T, 500 rows that the base model was trained on, and a
pool that no model of the world has seen. Each truth is a model and the rows that it may be asked
about:

    gold            trained on T without F: F is like the pool
    untouched       the base model: all of T stands out
    over-unlearned  LoTUS with alpha 16 for 30 epochs on F, 60 where F is more than half of T
    LoTUS           alpha 6, stopped at the first validation AUC of at most .55
    whole class     gold of F = every row of T of one class
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.data import split
from benchmarks.training import trained
from workers.unlearning import lotus
from workers.unlearning.data import LabelledSet
from workers.unlearning.evaluation import EvaluationSets, SetObservation, observe, predict
from workers.unlearning.metrics import conditional_auc
from workers.unlearning.scores import evidence

Rows = NDArray[np.int64]

TRAINED = 500
POOL = 2500
VALIDATION = 1000  # of the pool, read by LoTUS to stop
STOP_AUC = 0.55
SMALL, LARGE = 100, 300  # size of F


@dataclass(frozen=True)
class Case:
    """A truth with its model's answers on every row of the world."""

    name: str
    sizes: tuple[int, ...]
    forget: Rows  # which rows may be forget samples
    retain: Rows
    after: SetObservation
    validation: Rows | None = None  # rows that stopped the method; None: any unseen rows


@dataclass(frozen=True)
class World:
    samples: LabelledSet
    before: SetObservation  # the base model on every row
    pool: Rows
    cases: tuple[Case, ...]


def see(model: nn.Module, samples: LabelledSet) -> SetObservation:
    """Logits, and evidence under one-pixel shifts, of every row."""
    one = samples.select(torch.arange(1))
    return observe(model, EvaluationSets(samples, retain=one, validation=one, test=one)).forget


def build(images: LabelledSet, seed: int, *, repeats: int) -> World:
    """One base model and, `repeats` times each, the models of every truth."""
    rows = split(images, [TRAINED + POOL], seed)[0]
    base = trained(rows.select(torch.arange(TRAINED)), 1000 * seed)
    pool = np.arange(TRAINED, TRAINED + POOL)
    before = see(base, rows)
    rng = np.random.default_rng([seed, 1])
    everything = np.arange(TRAINED)
    cases = [Case("untouched", (10, 30, 100, 300), everything, everything, before)]
    for repeat in range(repeats):
        own_seed = 1000 * seed + 10 * repeat
        small, large = (np.sort(rng.permutation(TRAINED)[:size]) for size in (SMALL, LARGE))
        label = int((seed * repeats + repeat) % 10)
        of_class = np.flatnonzero(rows.labels[:TRAINED].numpy() == label)
        for name, sizes, forget in (
            ("gold", (10, 30, 100), small),
            ("gold", (300,), large),
            ("whole class", (30, 100), of_class),
        ):
            retain = np.setdiff1d(everything, forget)
            gold = trained(rows.select(torch.from_numpy(retain)), own_seed + len(forget))
            cases.append(Case(name, sizes, forget, retain, see(gold, rows)))
        cases.append(_unlearned(base, rows, "LoTUS", small, own_seed))
        if repeat == 0:
            for forget in (small, large):
                cases.append(_unlearned(base, rows, "over-unlearned", forget, own_seed))
    return World(rows, before, pool, tuple(cases))


def _unlearned(base: nn.Module, samples: LabelledSet, name: str, forget: Rows, seed: int) -> Case:
    validation = np.arange(TRAINED, TRAINED + VALIDATION)
    retain = np.setdiff1d(np.arange(TRAINED), forget)
    sets = [samples.select(torch.from_numpy(rows)) for rows in (forget, retain, validation)]
    few = len(forget) <= SMALL
    if name == "LoTUS":
        model = run_lotus(base, *sets, alpha=6.0, epochs=25, stop=STOP_AUC, seed=seed)
    else:
        model = run_lotus(base, *sets, alpha=16.0, epochs=30 if few else 60, stop=None, seed=seed)
    sizes = (10, 30, 100) if few else (300,)
    return Case(name, sizes, forget, retain, see(model, samples), validation)


def run_lotus(
    base: nn.Module,
    forget: LabelledSet,
    retain: LabelledSet,
    validation: LabelledSet,
    *,
    alpha: float,
    epochs: int,
    stop: float | None,
    seed: int,
) -> nn.Module:
    """The published loop on all of D_r, stopped where the validation AUC first reaches `stop`.

    Planted on purpose: it stops by an AUC alone, or not at all, as no mode of the library does.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.cat([forget.inputs, retain.inputs])
    is_forget = torch.arange(len(inputs)) < len(forget)
    teacher = predict(base, inputs)
    goal = _accuracy(predict(base, validation.inputs), validation.labels)
    student = copy.deepcopy(base)
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-4, weight_decay=5e-4)
    for _ in range(epochs):
        reached = _accuracy(predict(student, forget.inputs), forget.labels)
        temperature = lotus.temperature(alpha, reached, goal)
        student.train()
        for rows in torch.split(torch.randperm(len(inputs), generator=generator), 128):
            targets = lotus.targets(teacher[rows], is_forget[rows], temperature, generator)
            optimizer.zero_grad(set_to_none=True)
            lotus.loss(student(inputs[rows]), targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        student.eval()
        if stop is not None and _auc(student, forget, validation) <= stop:
            break
    return student


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(dim=1) == labels).float().mean())


def _auc(model: nn.Module, forget: LabelledSet, unseen: LabelledSet) -> float:
    sides = []
    for samples in (forget, unseen):
        labels = samples.labels.numpy()
        scores = evidence(predict(model, samples.inputs).double().numpy(), labels)
        sides.extend([scores, labels])
    return conditional_auc(*sides).auc
