"""Retention-based masking: drop the weights that D_r does not support, then fine-tune on D_r.

Ding, Sharma, Chen, Xu, Ji, "Understanding Fine-tuning in Approximate Unlearning: A Theoretical
Perspective", TMLR 2025, arXiv 2410.03833 (v2). Fine-tuning cannot reach what D_f left in directions
that D_r has no gradient in; so those parts of the pre-trained weights are removed beforehand, by a
saliency map of D_r, where SalUn's is one of D_f.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from workers.unlearning import weights
from workers.unlearning.data import UnlearningData
from workers.unlearning.methods.epoch import Epoch, Meter
from workers.unlearning.optimizers import sgd
from workers.unlearning.planning import FIXED_STEPS
from workers.unlearning.saliency import hold_outside, most_salient
from workers.unlearning.settings import MethodConfig, integer, real
from workers.unlearning.training import Training, supervised_epoch


@dataclass(frozen=True, kw_only=True)
class RbmConfig(MethodConfig):
    """mask_share          of all weights, those with the largest gradient are kept
    saliency_fraction   share of D_r that the gradient is taken of, drawn once a run
    """

    epochs: int = integer(10, 1, 1_000)
    batch_size: int = integer(256, 2, 65_536)
    learning_rate: float = real(1e-2, 1e-9, 10.0)
    mask_share: float = real(0.5, 1e-6, 1.0)
    saliency_fraction: float = real(0.3, 1e-6, 1.0)
    momentum: float = real(0.9, 0.0, 0.999_999)
    weight_decay: float = real(5e-4, 0.0, 1.0)


def plan(n_retain: int) -> RbmConfig:
    """The authors' settings, with more epochs where ten of them would be fewer than 40 steps."""
    published = RbmConfig()
    steps_per_epoch = math.ceil(n_retain / published.batch_size)
    return replace(
        published, epochs=max(published.epochs, math.ceil(FIXED_STEPS / steps_per_epoch))
    )


def unlearn(
    model: nn.Module, data: UnlearningData, config: RbmConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """min CE(D_r) over the weights that D_r supports; the others are 0, and stay exactly 0.

    See `methods.Method` for the contract. D_f is never read by the training.
    """
    with weights.restored_on_error(model):
        training = Training.of(model, data.view, config, generator)
        meter = Meter(training, data, config.epochs)
        optimizer = sgd(training, config.learning_rate, config.momentum, config.weight_decay)
        subset = training.subset(data.retain, config.saliency_fraction)
        mask = most_salient(training, subset, config.batch_size, config.mask_share)
        drop_outside(model, mask)
        hold_outside(optimizer, model, mask)
        for number in range(1, config.epochs + 1):
            with training.epoch(number):
                supervised_epoch(training, optimizer, data.retain, config.batch_size)
            yield meter.epoch(number, loss=training.mean_loss())


def drop_outside(model: nn.Module, mask: Mapping[str, Tensor]) -> None:
    """m * theta. Parameters without a gradient (frozen ones) have no place in m, and stay."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in mask:
                parameter.mul_(mask[name])
