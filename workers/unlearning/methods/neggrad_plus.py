"""NegGrad+: descend on D_r and ascend on D_f in one step.

Kurmanji, Triantafillou, Hayes, Triantafillou, "Towards Unbounded Machine Unlearning", NeurIPS 2023,
arXiv 2302.09880 (there a baseline, next to SCRUB). n_r and n_f rows of a pair of batches.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.unlearning import weights
from workers.unlearning.data import UnlearningData
from workers.unlearning.methods.epoch import Epoch, Meter
from workers.unlearning.optimizers import sgd
from workers.unlearning.settings import MethodConfig, integer, real
from workers.unlearning.training import Training


@dataclass(frozen=True, kw_only=True)
class NegGradPlusConfig(MethodConfig):
    """retain_weight   b; 1 - b is the weight of the ascent"""

    epochs: int = integer(10, 1, 1_000)
    batch_size: int = integer(128, 2, 65_536)
    learning_rate: float = real(1e-2, 1e-9, 10.0)
    retain_weight: float = real(0.95, 0.0, 1.0)
    momentum: float = real(0.9, 0.0, 0.999_999)
    weight_decay: float = real(5e-4, 0.0, 1.0)


def unlearn(
    model: nn.Module, data: UnlearningData, config: NegGradPlusConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """min b CE(D_r) - (1 - b) CE(D_f). See `methods.Method` for the contract.

    Every batch of D_r meets one of D_f, which is read again, in a new order, as often as it takes.
    BatchNorm's statistics are frozen: while D_f's loss is driven up they would absorb the damage.
    """
    with weights.restored_on_error(model):
        training = Training.of(model, data.view, config, generator)
        meter = Meter(training, data, config.epochs)
        optimizer = sgd(training, config.learning_rate, config.momentum, config.weight_decay)
        forget_batches = training.endless_batches(len(data.forget), config.batch_size)
        for number in range(1, config.epochs + 1):
            with training.epoch(number), weights.batch_norm_frozen(model):
                for retain_rows in training.batches(len(data.retain), config.batch_size):
                    forget_rows = next(forget_batches)
                    _step(training, optimizer, data, retain_rows, forget_rows, config.retain_weight)
            yield meter.epoch(number, loss=training.mean_loss())


def _step(
    training: Training,
    optimizer: torch.optim.Optimizer,
    data: UnlearningData,
    retain_rows: Tensor,
    forget_rows: Tensor,
    retain_weight: float,
) -> None:
    # One batch of n_r + n_f rows: with BatchNorm frozen no row's answer depends on the others.
    pair = [training.sample(data.retain, retain_rows), training.sample(data.forget, forget_rows)]
    inputs, labels = (torch.cat(tensors) for tensors in zip(*pair, strict=True))
    row_weights = signed_weights(len(retain_rows), len(forget_rows), retain_weight)
    row_weights = row_weights.to(inputs.device)

    def loss_of(part: slice) -> Tensor:
        losses = F.cross_entropy(training.logits(inputs[part]), labels[part], reduction="none")
        return (row_weights[part] * losses).mean()

    training.step(optimizer, len(inputs), loss_of)


def signed_weights(n_retain: int, n_forget: int, retain_weight: float) -> Tensor:
    """(n_r + n_f,) weights whose weighted mean of losses is b CE(D_r) - (1 - b) CE(D_f)."""
    rows = n_retain + n_forget
    retain = torch.full((n_retain,), retain_weight * rows / n_retain)
    forget = torch.full((n_forget,), -(1.0 - retain_weight) * rows / n_forget)
    return torch.cat([retain, forget])
