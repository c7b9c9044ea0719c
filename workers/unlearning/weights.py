"""Copies of a network's state, and BatchNorm's share of it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


def snapshot(model: nn.Module) -> State:
    """An independent copy of parameters and buffers."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def restore(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    model.load_state_dict(state)


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """BatchNorm layers that keep running statistics."""
    return [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]


def recalibrate_batch_norm(model: nn.Module, inputs: Tensor, batch_size: int) -> None:
    """Re-estimate the running statistics on `inputs` (N, *input_shape), leaving eval mode on.

    While the student trains they absorb forget samples: a fifth of every batch, where the forget
    set is a fifth of the rows. Fewer than two rows have no variance, and change nothing.
    """
    layers = batch_norms(model)
    momenta = [layer.momentum for layer in layers]
    model.eval()
    if len(inputs) < 2:
        return
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # cumulative average: every batch counts the same
        layer.train()
    with torch.no_grad():
        for batch in torch.tensor_split(
            inputs, max(1, len(inputs) // batch_size)
        ):  # none of one row
            model(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
