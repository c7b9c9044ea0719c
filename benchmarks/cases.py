"""One forget set and what it takes to judge the unlearning of it: the model that knows it, gold,
and samples that neither training nor unlearning reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.data import DATASETS, NUM_CLASSES
from benchmarks.likeness import Sets
from benchmarks.training import train
from workers.networks.small import SmallCnn, SmallResNet, mlp
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.planning import Kind

Rows = NDArray[np.int64]

TRAINED = 500
LARGEST_UNSEEN = 700  # validation rows, and as many test rows
HIDDEN = (256, 128)


@dataclass(frozen=True)
class Network:
    build: Callable[[tuple[int, ...]], nn.Module]  # from (channels, height, width)
    kind: Kind
    epochs: int  # until a training set of 500 is known by heart


NETWORKS = {
    "resnet": Network(lambda shape: SmallResNet(shape[0], NUM_CLASSES), "convolutional", 25),
    "cnn": Network(lambda shape: SmallCnn(shape[0], NUM_CLASSES), "convolutional", 60),
    "mlp": Network(
        lambda shape: nn.Sequential(nn.Flatten(), mlp(int(np.prod(shape)), HIDDEN, NUM_CLASSES)),
        "dense",
        40,
    ),
}


@dataclass(frozen=True)
class Draw:
    """Which case: `subject` is `spread` (rows drawn at random) or `block` (consecutive rows of the
    file: one writer in digits, one class in MNIST)."""

    dataset: str
    n_forget: int
    seed: int
    network: str = "resnet"
    subject: str = "spread"
    n_trained: int = TRAINED
    epochs: int | None = None  # the network's own if None


@dataclass(frozen=True)
class Case:
    draw: Draw
    data: UnlearningData
    sets: Sets
    original: nn.Module
    gold: nn.Module
    gold_seconds: float

    def retrained(self, seed: int) -> nn.Module:
        """Another gold: the floor of every distance to gold."""
        return _trained(self.draw, self.data.retain, 1_000 * self.draw.seed + 100 + seed)


def make(draw: Draw) -> Case:
    samples = _samples(draw.dataset)
    forget, retain, validation, test = (samples.select(rows) for rows in _divided(samples, draw))
    started = time.process_time()
    gold = _trained(draw, retain, 1_000 * draw.seed + 1)
    seconds = time.process_time() - started
    return Case(
        draw=draw,
        data=UnlearningData(forget, retain, validation, NUM_CLASSES),
        sets=Sets(forget, retain, test),
        original=_original(draw),
        gold=gold,
        gold_seconds=seconds,
    )


def _original(draw: Draw) -> nn.Module:
    # Forget sets of every size are drawn out of the same training rows; a block has its own.
    return _trained_on_all(replace(draw, n_forget=1) if draw.subject == "spread" else draw)


@lru_cache(maxsize=4)
def _trained_on_all(draw: Draw) -> nn.Module:
    samples = _samples(draw.dataset)
    forget, retain, _, _ = (samples.select(rows) for rows in _divided(samples, draw))
    return _trained(draw, forget.followed_by(retain), 1_000 * draw.seed)


def _divided(samples: LabelledSet, draw: Draw) -> list[torch.Tensor]:
    rng = np.random.default_rng([draw.seed, 20])
    order = rng.permutation(len(samples))
    if draw.subject == "block":
        start = int(rng.integers(len(samples) - draw.n_forget))
        block = np.arange(start, start + draw.n_forget)
        order = np.concatenate(
            [block, np.setdiff1d(order, block)[rng.permutation(len(order) - draw.n_forget)]]
        )
    unseen = min(LARGEST_UNSEEN, (len(samples) - draw.n_trained) // 2)
    ends = np.cumsum([draw.n_forget, draw.n_trained - draw.n_forget, unseen, unseen])
    return [torch.from_numpy(rows) for rows in np.split(order, ends)[:4]]


def _trained(draw: Draw, samples: LabelledSet, seed: int) -> nn.Module:
    network = NETWORKS[draw.network]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network.build(samples.input_shape)
    return train(model, samples, seed, epochs=draw.epochs or network.epochs)


@lru_cache(maxsize=len(DATASETS))
def _samples(dataset: str) -> LabelledSet:
    return DATASETS[dataset]()
