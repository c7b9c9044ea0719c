"""SalUn: random labels, taught only to the weights that D_f's loss depends on most.

Fan, Liu, Zhang, Wong, Wei, Liu, "SalUn: Empowering Machine Unlearning via Gradient-Based Weight
Saliency in Both Image Classification and Generation", ICLR 2024, arXiv 2310.12508.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import nn

from workers.unlearning import weights
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.methods.epoch import Epoch, Meter
from workers.unlearning.methods.random_label import wrong_labels
from workers.unlearning.optimizers import sgd
from workers.unlearning.saliency import hold_outside, most_salient
from workers.unlearning.settings import MethodConfig, integer, real
from workers.unlearning.training import Training, supervised_epoch


@dataclass(frozen=True, kw_only=True)
class SalunConfig(MethodConfig):
    """mask_share   of all weights, those with the largest gradient may move"""

    epochs: int = integer(10, 1, 1_000)
    batch_size: int = integer(256, 2, 65_536)
    learning_rate: float = real(0.013, 1e-9, 10.0)
    mask_share: float = real(0.5, 1e-6, 1.0)
    momentum: float = real(0.9, 0.0, 0.999_999)
    weight_decay: float = real(5e-4, 0.0, 1.0)


def unlearn(
    model: nn.Module, data: UnlearningData, config: SalunConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """min CE(D_f with wrong labels, and D_r) over the masked weights; the rest stay bit-equal.

    See `methods.Method` for the contract. The mask is made once, of f_orig as it is, and holds for
    the whole run. As by the authors, labels are drawn anew for every epoch; here never the right
    one, where they draw from all classes. BatchNorm's running
    statistics are no weights: they follow the training.
    """
    with weights.restored_on_error(model):
        training = Training.of(model, data.view, config, generator)
        meter = Meter(training, data, config.epochs)
        optimizer = sgd(training, config.learning_rate, config.momentum, config.weight_decay)
        mask = most_salient(training, data.forget, config.batch_size, config.mask_share)
        hold_outside(optimizer, model, mask)
        both = data.forget.followed_by(data.retain)
        for number in range(1, config.epochs + 1):
            wrong = wrong_labels(data.forget.labels, data.num_classes, generator)
            labels = torch.cat([wrong, data.retain.labels])
            with training.epoch(number):
                relabelled = LabelledSet(both.inputs, labels)
                supervised_epoch(training, optimizer, relabelled, config.batch_size)
            yield meter.epoch(number, loss=training.mean_loss())
