"""Selective synaptic dampening: shrink the weights that matter to D_f far more than to D.

Foster, Schoepf, Brintrup, "Fast Machine Unlearning Without Retraining Through Selective Synaptic
Dampening", AAAI 2024, arXiv 2308.07707. n_f forget samples of n = n_f + n_r; P weights of a tensor.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.unlearning import weights
from workers.unlearning.data import UnlearningData
from workers.unlearning.methods.epoch import Epoch, Meter
from workers.unlearning.saliency import (
    ByParameter,
    squared_batch_gradients,
    squared_sample_gradients,
)
from workers.unlearning.settings import MethodConfig, choice, integer, real
from workers.unlearning.training import Training


@dataclass(frozen=True, kw_only=True)
class SsdConfig(MethodConfig):
    """alpha       how many times more important to D_f than to D a weight must be; ViT: 5
    dampening   lambda: the larger, the less a chosen weight shrinks
    squared     gradients that are squared: of a batch, as by the authors, to whose code alpha
                belongs; or of a sample, the paper's equation to the letter. There imp_f / imp_D is
                at most n / n_f, so that alpha = 10 chooses nothing once D_f is a tenth of D
    """

    alpha: float = real(10.0, 1e-3, 1e6)
    dampening: float = real(1.0, 0.0, 1e6)
    batch_size: int = integer(128, 1, 65_536)
    squared: str = choice("batch", "sample")


def unlearn(
    model: nn.Module, data: UnlearningData, config: SsdConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """Two importances, each computed once, then one change of weights: a single epoch, no loss.

    See `methods.Method` for the contract. Raises NonFiniteLoss.
    """
    with weights.restored_on_error(model):
        training = Training.of(model, data.view, config, generator)
        meter = Meter(training, data, planned_epochs=1)
        forget, everything = _importances(training, data, config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in forget:
                    factor = dampening_factor(
                        forget[name], everything[name], config.alpha, config.dampening
                    )
                    parameter.mul_(factor)
        yield meter.epoch(1, loss=None)


def _importances(
    training: Training, data: UnlearningData, config: SsdConfig
) -> tuple[ByParameter, ByParameter]:
    """imp_f and imp_D: (P,) by name, diagonals of the Fisher information."""
    if config.squared == "batch":
        # Batches of one size on both sides: the square of a smaller batch's mean is larger.
        size = min(config.batch_size, len(data.forget))
        everything = data.forget.followed_by(data.retain)
        return (
            squared_batch_gradients(training, data.forget, size),
            squared_batch_gradients(training, everything, size),
        )
    forget = squared_sample_gradients(training, data.forget)
    retain = squared_sample_gradients(training, data.retain)
    # D is D_f and D_r: its mean over samples needs no second pass over D_f.
    share = len(data.forget) / (len(data.forget) + len(data.retain))
    return forget, {name: share * forget[name] + (1 - share) * retain[name] for name in forget}


def dampening_factor(forget: Tensor, everything: Tensor, alpha: float, dampening: float) -> Tensor:
    """(P,) factor in [0, 1]: min(lambda imp_D / imp_f, 1) where imp_f > alpha imp_D, else 1."""
    shrunk = (dampening * everything / forget).clamp(max=1.0)
    return torch.where(forget > alpha * everything, shrunk, 1.0)
