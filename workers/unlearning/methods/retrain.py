"""Exact retraining: the same network, trained from scratch on D_r alone. The gold standard.

Nothing is unlearned, so nothing has to be measured to know that it was: every row reaches the
optimizer through a `TrainingReader`, which refuses the forget set and counts what it served.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from workers.unlearning import weights
from workers.unlearning.data import UnlearningData
from workers.unlearning.errors import UnlearningError
from workers.unlearning.initialisation import reinitialise
from workers.unlearning.methods.epoch import Epoch, Meter
from workers.unlearning.optimizers import adam, adamw, sgd
from workers.unlearning.reader import TrainingReader
from workers.unlearning.settings import InvalidConfig, MethodConfig, choice, integer, real
from workers.unlearning.training import Training
from workers.unlearning.views import View


class FrozenParameters(UnlearningError):
    """What is not trained would keep values that the forget set helped to find."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} parameters are frozen; retraining starts all of them anew")


@dataclass(frozen=True, kw_only=True)
class RetrainConfig(MethodConfig):
    """How the owner trained the model.

    learning_rate   of the schedule's start; of its peak under one_cycle
    schedule        over the steps of the whole training: constant, cosine down to 0, or one_cycle,
                    under which momentum cycles too (.85 to .95, as PyTorch's scheduler does it)
    augmentation    crop_and_flip pads by an eighth of the height, as is usual at 32 pixels
    """

    optimizer: str = choice("adamw", "adam", "sgd")
    learning_rate: float = real(1e-3, 1e-9, 10.0)
    momentum: float = real(0.0, 0.0, 0.999_999)
    weight_decay: float = real(0.0, 0.0, 1.0)
    schedule: str = choice("constant", "cosine", "one_cycle")
    epochs: int = integer(25, 1, 10_000)
    batch_size: int = integer(64, 2, 65_536)
    augmentation: str = choice("none", "flip", "crop_and_flip")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule == "one_cycle" and self.momentum:
            raise InvalidConfig("momentum: one_cycle has a momentum of its own")


def unlearn(
    model: nn.Module, data: UnlearningData, config: RetrainConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """Initialise `model` anew and train it on D_r; see `methods.Method` for the contract.

    After every epoch D_f is measured too, in eval mode and without gradients: the last `served` is
    the proof that none of its rows trained the model.
    """
    with weights.restored_on_error(model):
        frozen = sum(not parameter.requires_grad for parameter in model.parameters())
        if frozen:
            raise FrozenParameters(frozen)
        view = _training_view(data, config)
        training = Training.of(model, view, config, generator)
        meter = Meter(training, data, config.epochs)
        reinitialise(model, generator)
        reader = TrainingReader(data)
        allowed = reader.allowed
        optimizer = _optimizer(training, config)
        schedule = _schedule(optimizer, config, -(-len(allowed) // config.batch_size))
        for number in range(1, config.epochs + 1):
            with training.epoch(number):
                for places in training.batches(len(allowed), config.batch_size):
                    _step(training, optimizer, reader, allowed[places.cpu()])
                    schedule.step()
            yield meter.epoch(number, loss=training.mean_loss(), served=reader.served())


def _step(
    training: Training,
    optimizer: torch.optim.Optimizer,
    reader: TrainingReader,
    rows: torch.Tensor,
) -> None:
    samples = reader.read(rows)
    inputs, labels = training.sample(samples, torch.arange(len(samples)))
    training.step(
        optimizer,
        len(samples),
        lambda part: F.cross_entropy(training.logits(inputs[part]), labels[part]),
    )


def _training_view(data: UnlearningData, config: RetrainConfig) -> View:
    """The owner's augmentation, whatever the data are viewed with elsewhere."""
    if config.augmentation == "none":
        return replace(data.view, flip=False, crop_padding=0)
    height = data.retain.input_shape[-2] if len(data.retain.input_shape) == 3 else 0
    padding = max(1, height // 8) if config.augmentation == "crop_and_flip" else 0
    return replace(data.view, flip=True, crop_padding=padding)


def _optimizer(training: Training, config: RetrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return sgd(training, config.learning_rate, config.momentum, config.weight_decay)
    if config.optimizer == "adam":
        return adam(training, config.learning_rate, config.weight_decay)
    return adamw(training, config.learning_rate, config.weight_decay, (0.9, 0.999))


def _schedule(
    optimizer: torch.optim.Optimizer, config: RetrainConfig, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    steps = config.epochs * steps_per_epoch
    if config.schedule == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, config.learning_rate, total_steps=max(steps, 2)
        )
    if config.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
