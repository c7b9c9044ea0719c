"""What guided mode reads from the validation set after an epoch: can forget samples be told apart?

Both figures compare D_f with D_u,val under the student. The attack score of a sample is
z_y - logsumexp of its other logits, which orders like the loss and does not saturate; V_i is the
share of validation samples of x_i's class that score lower.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.unlearning import planning
from workers.unlearning.band import band_advantage
from workers.unlearning.data import UnlearningData
from workers.unlearning.evaluation import predict
from workers.unlearning.metrics import conditional_auc
from workers.unlearning.scores import evidence

# Seeds of the halvings over which the band is averaged: the same after every epoch, so that epochs
# differ by their weights alone.
HALVINGS = range(5)


@dataclass(frozen=True)
class Signal:
    auc: float  # mean of V; .5 when nothing tells D_f from D_u,val
    band: float  # cross-fitted TPR - FPR of the best interval of V; about 0 then


def comparable(data: UnlearningData) -> Tensor:
    """(n_f,) bool: forget samples whose class has at least two validation samples."""
    counts = torch.bincount(data.validation.labels, minlength=data.num_classes)
    return counts[data.forget.labels] >= 2


def can_steer(data: UnlearningData) -> bool:
    """Enough samples on both sides, and enough forget samples that can be compared."""
    enough = planning.can_steer(len(data.forget), len(data.validation))
    return enough and int(comparable(data).sum()) >= planning.MIN_STEERED_FORGET


def validation_signal(model: nn.Module, forget_logits: Tensor, data: UnlearningData) -> Signal:
    """One pass over D_u,val; forget_logits (n_f, C) are the student's, from the same epoch."""
    usable = comparable(data).cpu()
    forget_labels = data.forget.labels.cpu()[usable].numpy()
    unseen_labels = data.validation.labels.cpu().numpy()
    forget_scores = evidence(forget_logits[usable].double().numpy(), forget_labels)
    unseen_logits = predict(model, data.validation.inputs)
    unseen_scores = evidence(unseen_logits.double().numpy(), unseen_labels)
    sides = (forget_scores, forget_labels, unseen_scores, unseen_labels)
    bands = [band_advantage(*sides, seed=seed).advantage for seed in HALVINGS]
    return Signal(conditional_auc(*sides).auc, sum(bands) / len(bands))
