"""Unlearning methods by name: `REGISTRY[name].unlearn(model, data, config, generator)`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workers.unlearning.config import LotusConfig
from workers.unlearning.data import UnlearningData
from workers.unlearning.methods import lotus, noop
from workers.unlearning.methods.epoch import Epoch

__all__ = ["REGISTRY", "Epoch", "Method"]


@dataclass(frozen=True)
class Method:
    """One way to unlearn.

    unlearn(model, data, config, generator) changes `model` in place and yields an Epoch at a time.
    When the iterator is exhausted the model holds the chosen weights, in float32 and eval mode.
    When it is closed early (a cancel) or raises, the model has its original weights back.
    `generator` drives all randomness: same seed and thread count, bit-equal weights.
    """

    name: str
    config_type: type[Any]
    unlearn: Callable[
        [nn.Module, UnlearningData, Any, torch.Generator], Generator[Epoch, None, None]
    ]


REGISTRY: dict[str, Method] = {
    method.name: method
    for method in (
        Method("lotus", LotusConfig, lotus.unlearn),
        Method("noop", noop.NoopConfig, noop.unlearn),
    )
}
