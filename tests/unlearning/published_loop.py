"""LoTUS's published loop and evaluation, done literally: what the library must equal, and beat.

Nothing is cached, shared or batched that the published procedure does not. Samples come one at a
time through a data loader, which prepares each anew whenever it is asked for; the teacher runs on
every batch; every metric runs its own pass over its sets, at batch size 1.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from workers.unlearning.config import LotusConfig
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.views import View


class Samples(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """(input, label, 1 for a forget sample), prepared when it is read."""

    def __init__(self, samples: LabelledSet, forget: int, view: View) -> None:
        self.samples, self.forget, self.view = samples, forget, view

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        seen = self.view.plain(self.samples.inputs[row : row + 1])[0]
        return seen, self.samples.labels[row], torch.tensor(row < self.forget)


def loader(
    samples: LabelledSet,
    view: View,
    batch_size: int,
    order: list[int] | None = None,
    forget: int = 0,
) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
    sampler = range(len(samples)) if order is None else order
    return DataLoader(Samples(samples, forget, view), batch_size, sampler=sampler)


def accuracy(model: nn.Module, samples: LabelledSet, view: View, batch_size: int) -> float:
    model.eval()
    device = next(model.parameters()).device
    hits = 0
    with torch.no_grad():
        for inputs, labels, _ in loader(samples, view, batch_size):
            hits += int((model(inputs.to(device)).argmax(dim=1).cpu() == labels).sum())
    return hits / len(samples)


def unlearn(model: nn.Module, data: UnlearningData, config: LotusConfig, seed: int) -> list[float]:
    """Algorithm of the paper, mode `paper`; data on the CPU, the model where it is. Returns the
    temperatures; `model` is changed.

    Draws in the library's documented order: R, then for every epoch the order of the rows, then for
    every batch the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    teacher = copy.deepcopy(model).eval()
    size = max(1, round(config.retain_fraction * len(data.retain)))
    subset = torch.randperm(len(data.retain), generator=generator)[:size]
    rows = data.forget.followed_by(data.retain.select(subset))
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
    )
    unseen = accuracy(teacher, data.validation, data.view, config.batch_size)
    temperatures = []
    for _ in range(config.epochs):
        reached = accuracy(model, data.forget, data.view, config.batch_size)
        temperatures.append(math.exp(config.alpha * (reached - unseen)))
        model.train()
        order = torch.randperm(len(rows), generator=generator).tolist()
        batches = loader(rows, data.view, config.batch_size, order, forget=len(data.forget))
        for loaded, _, is_forget in batches:
            inputs, forget = loaded.to(device), is_forget.to(device)
            with torch.no_grad():
                z = teacher(inputs)
            g = -torch.empty(z.shape).exponential_(generator=generator).log().to(device)
            soft = torch.softmax((z + g) / temperatures[-1], dim=1)
            sampled = torch.zeros_like(z).scatter(1, (z + g).argmax(dim=1, keepdim=True), 1.0)
            target = torch.where(forget[:, None], soft, sampled)
            loss = -(target * torch.log_softmax(model(inputs), dim=1)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.step()
    model.eval()
    return temperatures


@dataclass(frozen=True)
class Evaluation:
    """The published figures of one unlearned model."""

    accuracies: dict[str, float]
    member_fraction: float
    rf_jsd: float


def evaluate(
    original: nn.Module,
    unlearned: nn.Module,
    sets: dict[str, LabelledSet],
    view: View,
    num_classes: int,
) -> Evaluation:
    """Three passes, each of which prepares its samples anew, one at a time: membership inference
    (retain, unseen, forget), accuracies (all sets), RF-JSD (forget and unseen)."""
    from sklearn.linear_model import LogisticRegression

    entropies = [
        [-float(torch.special.xlogy(p, p).sum()) for p in _answers(unlearned, sets[name], view)]
        for name in ("retain", "test", "forget")
    ]
    features = torch.tensor(entropies[0] + entropies[1])[:, None].double().numpy()
    members = [1] * len(entropies[0]) + [0] * len(entropies[1])
    attack = LogisticRegression(class_weight="balanced").fit(features, members)
    called = attack.predict(torch.tensor(entropies[2])[:, None].double().numpy())
    accuracies = {name: accuracy(unlearned, samples, view, 1) for name, samples in sets.items()}
    forget = _class_means(unlearned, sets["forget"], view, num_classes)
    unseen = _class_means(original, sets["test"], view, num_classes)
    shared = sorted(forget.keys() & unseen.keys())
    divergences = [_jsd(forget[label], unseen[label]) for label in shared]
    return Evaluation(accuracies, float(called.mean()), sum(divergences) / len(divergences))


def _answers(model: nn.Module, samples: LabelledSet, view: View) -> list[Tensor]:
    """Softmax (C,) of every sample in float64, at batch size 1."""
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad():
        return [
            torch.softmax(model(inputs.to(device)).double(), dim=1)[0].cpu()
            for inputs, _, _ in loader(samples, view, 1)
        ]


def _class_means(
    model: nn.Module, samples: LabelledSet, view: View, num_classes: int
) -> dict[int, Tensor]:
    answers = torch.stack(_answers(model, samples, view))
    means = {}
    for label in range(num_classes):
        own = answers[samples.labels == label]
        if len(own):
            means[label] = own.mean(dim=0) / own.mean(dim=0).sum()
    return means


def _jsd(p: Tensor, q: Tensor) -> float:
    middle = (p + q) / 2
    parts = [torch.special.xlogy(side, side / middle).sum() for side in (p, q)]
    return float(sum(parts) / 2)
