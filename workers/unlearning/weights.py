"""Copies of a network's state, and BatchNorm's share of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from workers.unlearning.execution import device_of, lay_out
from workers.unlearning.views import View

State = dict[str, Tensor]


def snapshot(model: nn.Module) -> State:
    """An independent copy of parameters and buffers."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def restore(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    model.load_state_dict(state)


def frozen_copy(model: nn.Module) -> nn.Module:
    """A teacher: the network as it is now, in eval mode, without gradients."""
    return copy.deepcopy(model).eval().requires_grad_(False)


@contextmanager
def restored_on_error(model: nn.Module) -> Iterator[None]:
    """Eval mode and plain layout at the end; the original weights if the block does not finish.

    A cancelled run arrives here as the GeneratorExit of a closed iterator.
    """
    original = snapshot(model)
    try:
        yield
    except BaseException:
        restore(model, original)
        raise
    finally:
        lay_out(model, torch.contiguous_format)
        model.eval()
        model.zero_grad()  # gradients are of the forget set, too


def fewest_rows(model: nn.Module) -> int:
    """Rows that a batch needs in train mode: BatchNorm has no variance of a single one."""
    kinds = nn.modules.batchnorm._BatchNorm
    layers = (module for module in model.modules() if isinstance(module, kinds))
    return 2 if any(layer.training for layer in layers) else 1


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """BatchNorm layers that keep running statistics."""
    return [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]


@contextmanager
def batch_norm_frozen(model: nn.Module) -> Iterator[None]:
    """Inside a training pass: normalise by the running statistics and leave them as they are.

    Their scale and shift are parameters, and go on learning.
    """
    layers = [layer for layer in batch_norms(model) if layer.training]
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer in layers:
            layer.train()


def recalibrate_batch_norm(
    model: nn.Module, inputs: Tensor, batch_size: int, view: View | None = None
) -> None:
    """Re-estimate the running statistics on `inputs` (N, *input_shape), leaving eval mode on.

    While the student trains they absorb forget samples: a fifth of every batch, where the forget
    set is a fifth of the rows. Fewer than two rows have no variance, and change nothing.
    """
    layers = batch_norms(model)
    momenta = [layer.momentum for layer in layers]
    model.eval()
    if len(inputs) < 2:
        return
    batches = torch.tensor_split(inputs, max(1, len(inputs) // batch_size))  # none of one row
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # cumulative average: every batch counts the same
            layer.train()
        with torch.no_grad():
            for batch in batches:
                model((view or View()).plain(batch.to(device_of(model))))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()
