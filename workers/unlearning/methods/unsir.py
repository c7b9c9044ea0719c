"""UNSIR: impair the network with noise that it finds hardest to call by D_f's classes, then repair.

Tarun, Chundawat, Mandal, Kankanhalli, "Fast Yet Effective Machine Unlearning", IEEE TNNLS 2023,
arXiv 2111.08947. Made to forget whole classes; K classes of D_f, B noise inputs of each.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.unlearning import weights
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.errors import NonFiniteLoss
from workers.unlearning.methods.epoch import Epoch, Meter
from workers.unlearning.optimizers import adam
from workers.unlearning.settings import MethodConfig, integer, real
from workers.unlearning.training import Training, supervised_epoch


@dataclass(frozen=True, kw_only=True)
class UnsirConfig(MethodConfig):
    """batch_size       also B, the noise inputs of each class
    noise_steps      the authors' 5 epochs of 8 steps
    noise_penalty    lambda: weight of the noise's squared norm
    noise_copies     how often impairing reads each noise input: the authors' 20 batches
    retain_per_class rows of every class of D_r in the subset, drawn once a run
    repair_epochs    the authors' 1 is 32 steps on their subset, which BatchNorm's statistics need
                     to get over the noise: on a small set take more
    """

    batch_size: int = integer(256, 2, 65_536)
    noise_steps: int = integer(40, 1, 10_000)
    noise_learning_rate: float = real(0.1, 1e-9, 10.0)
    noise_penalty: float = real(0.1, 0.0, 1e3)
    noise_copies: int = integer(20, 1, 10_000)
    retain_per_class: int = integer(1_000, 1, 1_000_000)
    impair_learning_rate: float = real(0.02, 1e-9, 10.0)
    repair_learning_rate: float = real(0.01, 1e-9, 10.0)
    repair_epochs: int = integer(1, 1, 1_000)


def unlearn(
    model: nn.Module, data: UnlearningData, config: UnsirConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """Epoch 1 impairs, the others repair; see `methods.Method` for the contract.

    Only the classes of D_f are read, never its inputs. A forget set of single samples has no noise
    of its own: its classes are impaired, and the repair is left to bring the rest of them back,
    since D_r holds samples of those classes too. With a whole class it holds none, as in the paper.
    """
    with weights.restored_on_error(model):
        training = Training.of(model, data.view, config, generator)
        meter = Meter(training, data, 1 + config.repair_epochs)
        subset = _retain_subset(data, config.retain_per_class, generator)
        noise = _learn_noise(training, data, config)
        impair = adam(training, config.impair_learning_rate)
        with training.epoch(1):
            _impair(training, impair, noise, subset, config)
        yield meter.epoch(1, loss=training.mean_loss())
        repair = adam(training, config.repair_learning_rate)
        for number in range(2, 2 + config.repair_epochs):
            with training.epoch(number):
                supervised_epoch(training, repair, subset, config.batch_size)
            yield meter.epoch(number, loss=training.mean_loss())


def _retain_subset(data: UnlearningData, per_class: int, generator: torch.Generator) -> LabelledSet:
    """At most so many rows of every class of D_r, at random."""
    labels = data.retain.labels
    order = torch.randperm(len(labels), generator=generator, device=generator.device)
    order = order.to(labels.device)
    chosen = [order[labels[order] == label][:per_class] for label in range(data.num_classes)]
    return data.retain.select(torch.cat(chosen))


def _learn_noise(training: Training, data: UnlearningData, config: UnsirConfig) -> LabelledSet:
    """K B noise inputs, as the network sees inputs, and the classes they stand for.

    The network is f_orig in eval mode, frozen: noise must not enter its running statistics.
    """
    device = training.execution.device
    classes = torch.unique(data.forget.labels).to(device)
    labels = classes.repeat_interleave(config.batch_size)
    noise = torch.randn(
        len(labels), *data.forget.input_shape, generator=training.noise, device=device
    )
    training.model.eval()
    with _frozen(training.model), training.execution.settings():
        learned = [
            _maximise(training, start, label, config)
            for start, label in zip(torch.split(noise, config.batch_size), classes, strict=True)
        ]
    return LabelledSet(torch.cat(learned), labels)


def _maximise(training: Training, noise: Tensor, label: Tensor, config: UnsirConfig) -> Tensor:
    """(B, *input_shape): the noise matrix of one class, learned by Adam."""
    noise = noise.clone().requires_grad_()
    labels = label.expand(len(noise))
    optimizer = torch.optim.Adam([noise], lr=config.noise_learning_rate)
    for _ in range(config.noise_steps):
        logits = training.logits(training.execution.place(noise))
        objective = noise_objective(logits, labels, noise, config.noise_penalty)
        (noise.grad,) = torch.autograd.grad(objective, noise)
        optimizer.step()
    last = float(objective.detach())
    if not math.isfinite(last):
        raise NonFiniteLoss(1, config.noise_steps, last)
    return noise.detach()


def noise_objective(logits: Tensor, labels: Tensor, noise: Tensor, penalty: float) -> Tensor:
    """-CE + lambda ||noise||^2, means over B rows: the loss is to be high, the noise small."""
    return penalty * noise.square().flatten(1).sum(dim=1).mean() - F.cross_entropy(logits, labels)


def _impair(
    training: Training,
    optimizer: torch.optim.Optimizer,
    noise: LabelledSet,
    subset: LabelledSet,
    config: UnsirConfig,
) -> None:
    """One shuffled pass over every noise input, `noise_copies` times, and the retain subset."""
    copies = config.noise_copies * len(noise)  # never stored: a row finds its original
    for rows in training.batches(copies + len(subset), config.batch_size):
        is_noise = rows < copies
        from_noise = noise.select(rows[is_noise] % len(noise))
        retained, labels = training.sample(subset, rows[~is_noise] - copies)
        inputs = training.execution.place(torch.cat([from_noise.inputs, retained]))
        labels = torch.cat([from_noise.labels, labels])

        def loss_of(part: slice, x: Tensor = inputs, y: Tensor = labels) -> Tensor:
            return F.cross_entropy(training.logits(x[part]), y[part])

        training.step(optimizer, len(rows), loss_of)


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in moving:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)
