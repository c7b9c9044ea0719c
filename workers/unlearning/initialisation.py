"""A network of the same architecture that has learned nothing.

For exact retraining, and for the incompetent teacher of `methods/bad_teacher.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from workers.unlearning.errors import UnlearningError
from workers.unlearning.execution import device_of, lay_out

# For parameters whose module does not say how it begins: class tokens, positions and their like
# (arXiv 2010.11929 and its descendants).
BARE_PARAMETER_STD = 0.02


class NotReinitialised(UnlearningError):
    """Some tensors would have kept what training put there; the message names the first of them."""

    def __init__(self, names: list[str]) -> None:
        shown = ", ".join(names[:3])
        super().__init__(f"{len(names)} tensors have no known initial value: {shown}")


def reinitialised(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of `model` in its initial state, on the same device, mode and `requires_grad` kept.

    Every module that can reset its parameters does so, children before parents, as when they were
    made. Other parameters are drawn from N(0, .02^2), those called bias are 0. Running statistics
    start again; buffers that are not saved with the weights, and integers, are constants and stay.
    What a constructor did to the parameters of its children is not repeated: the distribution can
    differ from that of a new instance, never the fact that nothing of the old values is left.

    The same state of `generator` gives the same network on every device. Raises NotReinitialised if
    a parameter, or a saved floating-point buffer, would be left as it was.
    """
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    fresh = copy.deepcopy(model).cpu()
    lay_out(fresh, torch.contiguous_format)  # values are drawn in the order of memory
    _spoil(fresh)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        # Only the CPU's generator: torch.manual_seed would also seed every GPU.
        torch.default_generator.manual_seed(seed)
        for module in reversed(list(fresh.modules())):
            _reset(module)
    left = [name for name, value in fresh.state_dict().items() if bool(value.isnan().any())]
    if left:
        raise NotReinitialised(left)
    return fresh.to(device_of(model))


def reinitialise(model: nn.Module, generator: torch.Generator) -> None:
    """The same in place; `model` is left as it was if NotReinitialised is raised."""
    model.load_state_dict(reinitialised(model, generator).state_dict())


def _spoil(model: nn.Module) -> None:
    """NaN wherever training may have left something: what is still NaN later was forgotten."""
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.fill_(torch.nan)


def _reset(module: nn.Module) -> None:
    own_reset = _reset_of(module)
    if own_reset is not None:
        own_reset()
        return
    for name, parameter in module.named_parameters(recurse=False):
        if name.endswith("bias"):
            parameter.zero_()
        else:
            parameter.normal_(std=BARE_PARAMETER_STD)


def _reset_of(module: nn.Module) -> Callable[[], object] | None:
    # nn.MultiheadAttention and nn.Transformer keep theirs under the second name.
    for name in ("reset_parameters", "_reset_parameters"):
        found: Callable[[], object] | None = getattr(module, name, None)
        if callable(found):
            return found
    return None
