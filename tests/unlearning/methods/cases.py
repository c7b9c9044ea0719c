"""Two small trained networks with their data, and short settings of every baseline."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.evaluation import predict
from workers.unlearning.methods import REGISTRY, Epoch

CLASSES = 3

# Short, and strong enough to move a small network.
SETTINGS: dict[str, dict[str, Any]] = {
    "finetune": {"epochs": 3, "batch_size": 32},
    "neggrad_plus": {"epochs": 3, "batch_size": 32},
    "random_label": {"epochs": 3, "batch_size": 32, "learning_rate": 3e-3},
    "bad_teacher": {"epochs": 2, "batch_size": 32, "learning_rate": 3e-3},
    "scrub": {"epochs": 4, "batch_size": 32, "max_epochs": 2, "learning_rate": 3e-3},
    "ssd": {"alpha": 1.0, "batch_size": 16},
    "unsir": {"batch_size": 24, "noise_steps": 5, "noise_copies": 1, "retain_per_class": 40},
    "salun": {"epochs": 3, "batch_size": 32},
    "rbm": {"epochs": 3, "batch_size": 32},
}


@dataclass(frozen=True)
class Case:
    model: nn.Module  # f_orig, in eval mode; copy it before it is changed
    data: UnlearningData


def features() -> Case:
    """Overlapping clusters, a fifth of the labels random; a network without BatchNorm."""
    generator = torch.Generator().manual_seed(0)

    def clusters(count: int) -> LabelledSet:
        labels = torch.randint(CLASSES, (count,), generator=generator)
        inputs = torch.randn(count, 8, generator=generator)
        inputs[torch.arange(count), labels] += 1.5
        return LabelledSet(inputs, _noisy(labels, generator))

    data = UnlearningData(clusters(40), clusters(120), clusters(90), CLASSES)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    return Case(_trained(model, data), data)


def images() -> Case:
    """A bright row says the class, a fifth of the labels is random; a network with BatchNorm."""
    generator = torch.Generator().manual_seed(1)

    def pictures(count: int) -> LabelledSet:
        labels = torch.randint(CLASSES, (count,), generator=generator)
        inputs = 0.5 * torch.randn(count, 1, 6, 6, generator=generator)
        inputs[torch.arange(count), 0, 2 * labels] += 1.0
        return LabelledSet(inputs, _noisy(labels, generator))

    data = UnlearningData(pictures(40), pictures(120), pictures(90), CLASSES)
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(72, CLASSES),
    )  # fmt: skip
    return Case(_trained(model, data), data)


def _noisy(labels: Tensor, generator: torch.Generator) -> Tensor:
    flipped = torch.rand(len(labels), generator=generator) < 0.2
    return torch.where(flipped, torch.randint(CLASSES, labels.shape, generator=generator), labels)


def _trained(model: nn.Module, data: UnlearningData) -> nn.Module:
    both = data.forget.followed_by(data.retain)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        F.cross_entropy(model(both.inputs), both.labels).backward()
        optimizer.step()
    return model.eval()


def unlearn(
    name: str, case: Case, *, seed: int = 7, **settings: Any
) -> tuple[nn.Module, list[Epoch]]:
    """A copy of the case's model, unlearned; `settings` on top of the short ones."""
    student = copy.deepcopy(case.model)
    method = REGISTRY[name]
    config = method.config_type(**{**SETTINGS[name], **settings})
    generator = torch.Generator().manual_seed(seed)
    return student, list(method.unlearn(student, case.data, config, generator))


def largest_difference(left: nn.Module, right: nn.Module) -> float:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


def loss(model: nn.Module, samples: LabelledSet) -> float:
    return float(F.cross_entropy(predict(model.eval(), samples.inputs), samples.labels))


def one_of_each(x: list[list[float]], y: list[int]) -> LabelledSet:
    return LabelledSet(torch.tensor(x), torch.tensor(y))
