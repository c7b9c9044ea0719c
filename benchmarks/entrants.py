"""Who takes part in the comparison of methods, and with which settings."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from benchmarks.cases import NETWORKS, Case
from benchmarks.training import BATCH_SIZE, LARGEST_LEARNING_RATE
from workers.unlearning.config import Mode
from workers.unlearning.errors import UnlearningError
from workers.unlearning.methods import REGISTRY
from workers.unlearning.methods.retrain import RetrainConfig
from workers.unlearning.planning import paper_settings, plan

# The script that the authors published runs CIFAR-10 with a larger alpha than the paper's table.
RELEASED_ALPHA = 8.0

# Their authors made the settings for 50,000 images and more, where an epoch is hundreds of steps;
# on 500 it is four. Each method that barely acts for that reason also runs with about 80 steps,
# which is what guided LoTUS may take at most, and, where its learning rate is 1e-4 with Adam, with
# 3e-4, which is the change that guided LoTUS makes.
SMALL_SET: dict[str, dict[str, Any]] = {
    "finetune": {"epochs": 20},
    "neggrad_plus": {"epochs": 20},
    "random_label": {"epochs": 20, "learning_rate": 3e-4},
    "bad_teacher": {"epochs": 20, "learning_rate": 3e-4},
    "scrub": {"epochs": 20},
    "salun": {"epochs": 20},
    "rbm": {"epochs": 20},
    # Noise in proportion to the set: with 256 inputs of each class, read 20 times, ten classes
    # would be impaired on 51,200 rows of noise beside 400 samples.
    "unsir": {"batch_size": 32, "noise_copies": 5},
}
# Half a minute a run with its authors' settings: one seed, and not in a quick run.
COSTLY = ("unsir",)


@dataclass(frozen=True)
class Entrant:
    name: str
    method: str  # in REGISTRY
    config: Callable[[Case], Any]
    costly: bool = False


@dataclass(frozen=True)
class Unlearned:
    model: nn.Module
    seconds: float
    epochs: int
    kept_epoch: int
    failure: str | None  # then the model is the original one


def entrants() -> list[Entrant]:
    """The modes of LoTUS first, then every other method of the registry."""
    found = [
        Entrant("lotus guided", "lotus", _guided),
        Entrant("lotus paper", "lotus", _paper),
        Entrant("lotus released", "lotus", _released),
    ]
    for name in REGISTRY:
        if name == "retrain":
            found.append(Entrant(name, name, _recipe))
        elif name != "lotus":
            found.append(Entrant(name, name, _defaults(name, {}), costly=name in COSTLY))
        if name in SMALL_SET:
            found.append(Entrant(f"{name} (small set)", name, _defaults(name, SMALL_SET[name])))
    return found


def unlearn(entrant: Entrant, case: Case, seed: int) -> Unlearned:
    """Runs the entrant to its end on a copy of the original model."""
    model = copy.deepcopy(case.original)
    config = entrant.config(case)
    generator = torch.Generator().manual_seed(seed)
    number = kept = 0
    failure = None
    started = time.process_time()
    try:
        for epoch in REGISTRY[entrant.method].unlearn(model, case.data, config, generator):
            number = epoch.number
            kept = number if epoch.best else kept
    except UnlearningError as error:
        failure = f"{type(error).__name__}: {error}"
    return Unlearned(model, time.process_time() - started, number, kept, failure)


def _guided(case: Case) -> Any:
    data = case.data
    return plan(
        len(data.forget),
        len(data.retain),
        len(data.validation),
        kind=NETWORKS[case.draw.network].kind,
        whole_classes=data.forgets_whole_classes(),
    )


def _paper(case: Case) -> Any:
    return paper_settings(NETWORKS[case.draw.network].kind)


def _released(case: Case) -> Any:
    return replace(_paper(case), mode=Mode.RELEASED, alpha=RELEASED_ALPHA)


def _recipe(case: Case) -> Any:
    """As the original was trained."""
    return RetrainConfig(
        optimizer="adamw",
        learning_rate=LARGEST_LEARNING_RATE,
        weight_decay=0.01,
        schedule="one_cycle",
        epochs=case.draw.epochs or NETWORKS[case.draw.network].epochs,
        batch_size=BATCH_SIZE,
    )


def _defaults(name: str, settings: dict[str, Any]) -> Callable[[Case], Any]:
    return lambda case: REGISTRY[name].config_type.from_dict(settings)
