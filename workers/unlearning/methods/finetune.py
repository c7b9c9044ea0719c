"""Fine-tuning: train on D_r and hope that D_f fades. Catastrophic forgetting, put to use.

Warnecke et al., "Machine Unlearning of Features and Labels", NDSS 2023, arXiv 2108.11577;
Golatkar et al., CVPR 2020, arXiv 1911.04933 (the baseline there).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import nn

from workers.unlearning import weights
from workers.unlearning.data import UnlearningData
from workers.unlearning.methods.epoch import Epoch, Meter
from workers.unlearning.optimizers import sgd
from workers.unlearning.settings import MethodConfig, integer, real
from workers.unlearning.training import Training, supervised_epoch


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(MethodConfig):
    """SGD on the cross-entropy of D_r."""

    epochs: int = integer(10, 1, 1_000)
    batch_size: int = integer(128, 2, 65_536)
    learning_rate: float = real(1e-2, 1e-9, 10.0)
    momentum: float = real(0.9, 0.0, 0.999_999)
    weight_decay: float = real(5e-4, 0.0, 1.0)


def unlearn(
    model: nn.Module, data: UnlearningData, config: FinetuneConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """min CE(D_r); D_f is never read by the training. See `methods.Method` for the contract."""
    with weights.restored_on_error(model):
        training = Training.of(model, data.view, config, generator)
        meter = Meter(training, data, config.epochs)
        optimizer = sgd(training, config.learning_rate, config.momentum, config.weight_decay)
        for number in range(1, config.epochs + 1):
            with training.epoch(number):
                supervised_epoch(training, optimizer, data.retain, config.batch_size)
            yield meter.epoch(number, loss=training.mean_loss())
