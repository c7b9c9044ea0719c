"""Unlearning methods by name: `REGISTRY[name].unlearn(model, data, config, generator)`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workers.unlearning.config import LotusConfig
from workers.unlearning.data import UnlearningData
from workers.unlearning.methods import (
    bad_teacher,
    finetune,
    lotus,
    neggrad_plus,
    noop,
    random_label,
    rbm,
    retrain,
    salun,
    scrub,
    ssd,
    unsir,
)
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
        Method("retrain", retrain.RetrainConfig, retrain.unlearn),
        Method("noop", noop.NoopConfig, noop.unlearn),
        Method("finetune", finetune.FinetuneConfig, finetune.unlearn),
        Method("neggrad_plus", neggrad_plus.NegGradPlusConfig, neggrad_plus.unlearn),
        Method("random_label", random_label.RandomLabelConfig, random_label.unlearn),
        Method("bad_teacher", bad_teacher.BadTeacherConfig, bad_teacher.unlearn),
        Method("scrub", scrub.ScrubConfig, scrub.unlearn),
        Method("ssd", ssd.SsdConfig, ssd.unlearn),
        Method("unsir", unsir.UnsirConfig, unsir.unlearn),
        Method("salun", salun.SalunConfig, salun.unlearn),
        Method("rbm", rbm.RbmConfig, rbm.unlearn),
    )
}
