"""The optimizers that methods name, over the parameters that may move."""

from __future__ import annotations

import torch
from torch import nn

from workers.unlearning.errors import NothingToTrain
from workers.unlearning.training import Training


def adamw(
    training: Training, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        _trainable(training.model),
        lr=learning_rate,
        betas=betas,
        weight_decay=weight_decay,
        fused=training.execution.fused,
    )


def adam(
    training: Training, learning_rate: float, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        _trainable(training.model),
        lr=learning_rate,
        weight_decay=weight_decay,
        fused=training.execution.fused,
    )


def sgd(
    training: Training, learning_rate: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        _trainable(training.model),
        lr=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        fused=training.execution.fused,
    )


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not moving:
        raise NothingToTrain(sum(1 for _ in model.parameters()))
    return moving
