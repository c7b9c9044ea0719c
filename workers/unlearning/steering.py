"""What guided mode reads from the validation set after an epoch: can forget samples be told apart?

All figures compare D_f with D_u,val under the student, class by class. V_i is the share of
validation samples of x_i's class with a lower attack score, z_y - logsumexp of the other logits,
which orders like the loss and does not saturate. The member attack is the paper's (section 4):
logistic regression on the entropy of the softmax, retain samples against validation samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workers.unlearning import planning
from workers.unlearning.band import SMALLEST_FORGET_SET, band_advantage
from workers.unlearning.conditional import Floats, Ints, class_places, smallest_error
from workers.unlearning.config import LotusConfig
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.logistic import fit_logistic, logistic_scores
from workers.unlearning.metrics import conditional_auc
from workers.unlearning.scores import evidence, negative_entropy

# Seeds of the halvings over which the band is averaged: the same after every epoch, so that epochs
# differ by their weights alone.
HALVINGS = range(5)
# Retain samples that the member attack learns from: enough for its one threshold.
MOST_MEMBERS = 200


@dataclass(frozen=True)
class Signal:
    """auc            mean of V; .5 when nothing tells D_f from D_u,val
    auc_error      its standard error then, which the two sizes alone decide
    member_excess  share of D_f that the member attack calls member, less that of D_u,val at D_f's
                   class histogram; 0 when nothing tells them apart
    band           cross-fitted TPR - FPR of the best interval of V; about 0 then. None below four
                   forget samples. Shown, not steered by
    """

    auc: float
    auc_error: float
    member_excess: float
    band: float | None


def comparable(data: UnlearningData) -> Tensor:
    """(n_f,) bool: forget samples whose class has at least two validation samples."""
    counts = torch.bincount(data.validation.labels, minlength=data.num_classes)
    return counts[data.forget.labels] >= 2


def can_steer(data: UnlearningData) -> bool:
    """Enough samples, and validation samples of the classes of at least half of the forget set."""
    enough = planning.sizes_allow_steering(len(data.forget), len(data.validation))
    return enough and 2 * int(comparable(data).sum()) >= len(data.forget)


def plan_for(data: UnlearningData, kind: planning.Kind) -> LotusConfig:
    """Guided settings for these very sets: `planning.plan`, and whether they can be steered by."""
    return planning.plan(
        len(data.forget),
        len(data.retain),
        len(data.validation) if can_steer(data) else 0,
        kind=kind,
        whole_classes=data.forgets_whole_classes(),
    )


def members(data: UnlearningData) -> LabelledSet:
    """The retain samples that the member attack learns from, evenly spaced in D_r."""
    count = min(len(data.retain), len(data.validation), MOST_MEMBERS)
    rows = torch.linspace(0, len(data.retain) - 1, count).long()
    return data.retain.select(rows.to(data.retain.labels.device))


def validation_signal(
    forget_logits: Tensor, unseen_logits: Tensor, member_logits: Tensor, data: UnlearningData
) -> Signal:
    """(n_f, C), (n_val, C), (m, C) logits of one model on D_f, D_u,val and `members(data)`."""
    usable = comparable(data).cpu()
    forget, unseen = (logits.double().numpy() for logits in (forget_logits[usable], unseen_logits))
    forget_labels = data.forget.labels.cpu()[usable].numpy()
    unseen_labels = data.validation.labels.cpu().numpy()
    sides = (
        evidence(forget, forget_labels),
        forget_labels,
        evidence(unseen, unseen_labels),
        unseen_labels,
    )
    band = None
    if len(forget) >= SMALLEST_FORGET_SET:
        bands = [band_advantage(*sides, seed=seed).advantage for seed in HALVINGS]
        band = sum(bands) / len(bands)
    return Signal(
        auc=conditional_auc(*sides).auc,
        auc_error=smallest_error(class_places(forget_labels, unseen_labels)),
        member_excess=_member_excess(
            (forget, forget_labels), (unseen, unseen_labels), member_logits.double().numpy()
        ),
        band=band,
    )


def _member_excess(
    forget: tuple[Floats, Ints], unseen: tuple[Floats, Ints], members: Floats
) -> float:
    of_forget, of_unseen, of_members = (
        negative_entropy(logits, np.empty(0, np.int64))[:, None]
        for logits in (forget[0], unseen[0], members)
    )
    is_member = np.repeat([1.0, 0.0], [len(of_members), len(of_unseen)])
    balance = np.where(is_member == 1, 0.5 / len(of_members), 0.5 / len(of_unseen))
    weights = fit_logistic(
        np.concatenate([of_members, of_unseen]), is_member[None], balance[None] * len(is_member)
    )
    called = [logistic_scores(side, weights)[0] > 0 for side in (of_forget, of_unseen)]
    matched = class_places(forget[1], unseen[1]).unseen_weights()
    return float(called[0].mean() - matched @ called[1])
