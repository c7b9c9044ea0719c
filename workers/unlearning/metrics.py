"""The metrics of the paper, each one function. Natural logarithms, float64, torch in and out.

Arguments may be tensors, arrays or nested lists; N samples, C classes.
Paper: Spartalis et al., "LoTUS", CVPR 2025, arXiv 2503.18314.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workers.unlearning import conditional
from workers.unlearning.errors import (
    EmptyForgetSet,
    EmptySet,
    LabelOutOfRange,
    MissingUnseenClass,
    NonFiniteLogits,
    NotAProbability,
    ShapeMismatch,
    TooFewClasses,
)
from workers.unlearning.logistic import fit_logistic, logistic_scores

ArrayLike = Tensor | np.ndarray[Any, Any] | Sequence[Any]

# The released code clips to this before it normalises.
RELEASED_FLOOR = 1e-8
# Softmax rows in float32 sum to 1 within about C * 1e-7.
ROW_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class RfJsd:
    value: float  # nats, mean over the classes held by both sets
    released_scale: float  # what the authors' code prints for the same class means
    per_class: dict[int, float]
    missing_classes: tuple[int, ...]  # forget classes without an unseen sample


@dataclass(frozen=True)
class MembershipInference:
    member_fraction: float  # share of the forget set that is called "member"
    auc: float  # forget against unseen, score = -entropy, not class-conditional
    retain_accuracy: float  # of the attack on its own training data
    unseen_accuracy: float


@dataclass(frozen=True)
class ConditionalAuc:
    auc: float
    standard_error: float
    percentiles: Tensor  # (n_f,)
    effective_unseen: float


def _float64(values: ArrayLike) -> Tensor:
    # Through NumPy, because torch reads nested lists as float32.
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, float))
    return tensor.detach().to("cpu", torch.float64)


def _labels(values: ArrayLike, rows: int, num_classes: int | None = None) -> Tensor:
    labels = torch.as_tensor(values).detach().to("cpu", torch.int64)
    if labels.shape != (rows,):
        raise ShapeMismatch("labels", labels.shape, (rows,))
    if num_classes is not None:
        outside = int(((labels < 0) | (labels >= num_classes)).sum())
        if outside:
            raise LabelOutOfRange(outside, rows, num_classes)
    return labels


def _probabilities(values: ArrayLike, what: str) -> Tensor:
    probs = _float64(values)
    if probs.ndim != 2:
        raise ShapeMismatch(what, probs.shape, (len(probs), -1))
    if probs.shape[1] < 2:
        raise TooFewClasses(probs.shape[1])
    bad = int((~torch.isfinite(probs)).any(dim=1).sum())
    if bad:
        raise NonFiniteLogits(bad, len(probs), what)
    off = ((probs < 0).any(dim=1) | ((probs.sum(dim=1) - 1).abs() > ROW_SUM_TOLERANCE)).sum()
    if int(off):
        raise NotAProbability(int(off), len(probs))
    return probs


def _jsd(p: Tensor, q: Tensor) -> Tensor:
    middle = (p + q) / 2
    # xlogy(0, 0) = 0: a class that neither side expects adds nothing.
    to_middle = [
        torch.special.xlogy(side, side) - torch.special.xlogy(side, middle) for side in (p, q)
    ]
    divergence = (to_middle[0] + to_middle[1]).sum(dim=-1) / 2
    bounded: Tensor = divergence.clamp(0.0, float(np.log(2.0)))
    return bounded


def js_divergence(p: ArrayLike, q: ArrayLike) -> Tensor:
    """Jensen-Shannon divergence row by row: (N, C), (N, C) -> (N,) nats in [0, ln 2]."""
    left, right = _probabilities(p, "p"), _probabilities(q, "q")
    if left.shape != right.shape:
        raise ShapeMismatch("p and q", left.shape, right.shape)
    return _jsd(left, right)


def arithmetic_geometric(p: Tensor, q: Tensor) -> Tensor:
    """AG(p, q) = sum_j m_j ln(m_j / sqrt(p_j q_j)), the divergence in the released code. (...,)"""
    middle = (p + q) / 2
    return (middle * (middle.log() - (p.log() + q.log()) / 2)).sum(dim=-1)


def _released_scale(p: Tensor, q: Tensor) -> float:
    """The released reduction: clip, divide by the sum of the whole matrix, batch mean."""
    left, right = (side.clamp(RELEASED_FLOOR, 1.0) for side in (p, q))
    total = arithmetic_geometric(left / left.sum(), right / right.sum()).sum()
    return float(total) / len(p)


def class_mean(probs: Tensor, labels: Tensor, label: int) -> Tensor:
    """(C,) L1-normalised mean of the softmax outputs of one class."""
    mean = probs[labels == label].mean(dim=0)
    return mean / mean.sum()


def rf_jsd(
    forget_probs: ArrayLike,
    forget_labels: ArrayLike,
    unseen_probs: ArrayLike,
    unseen_labels: ArrayLike,
    num_classes: int,
) -> RfJsd:
    """Retrain-free JSD: mean over classes of the JSD between mean predictions (paper, RF-JSD).

    `forget_probs` comes from the unlearned model, `unseen_probs` from the original one.
    Forget classes without unseen samples are left out and named; none left is an error.
    """
    forget = _probabilities(forget_probs, "forget") if len(forget_probs) else None
    if forget is None:
        raise EmptyForgetSet("RF-JSD")
    if not len(unseen_probs):
        raise EmptySet("unseen")
    unseen = _probabilities(unseen_probs, "unseen")
    for probs in (forget, unseen):
        if probs.shape[1] != num_classes:
            raise ShapeMismatch("probabilities and classes", probs.shape, (len(probs), num_classes))
    of_forget = _labels(forget_labels, len(forget), num_classes)
    of_unseen = _labels(unseen_labels, len(unseen), num_classes)
    wanted, held = set(of_forget.tolist()), set(of_unseen.tolist())
    classes, missing = sorted(wanted & held), sorted(wanted - held)
    if not classes:
        raise MissingUnseenClass(missing, len(forget))
    p = torch.stack([class_mean(forget, of_forget, c) for c in classes])
    q = torch.stack([class_mean(unseen, of_unseen, c) for c in classes])
    values = _jsd(p, q)
    return RfJsd(
        value=float(values.mean()),
        released_scale=_released_scale(p, q),
        per_class=dict(zip(classes, values.tolist(), strict=True)),
        missing_classes=tuple(missing),
    )


def entropy(probs: Tensor) -> Tensor:
    """(N, C) -> (N,) nats."""
    weighted: Tensor = torch.special.xlogy(probs, probs)
    return -weighted.sum(dim=-1)


def membership_inference(
    retain_probs: ArrayLike, unseen_probs: ArrayLike, forget_probs: ArrayLike
) -> MembershipInference:
    """The paper's attack: balanced logistic regression on the entropy, retain against unseen.

    Kept for comparison with published tables; it decides nothing.
    """
    for name, rows in (("retain", retain_probs), ("unseen", unseen_probs)):
        if not len(rows):
            raise EmptySet(name)
    if not len(forget_probs):
        raise EmptyForgetSet("membership inference")
    retain, unseen, forget = (
        entropy(_probabilities(probs, name)).numpy()
        for probs, name in (
            (retain_probs, "retain"),
            (unseen_probs, "unseen"),
            (forget_probs, "forget"),
        )
    )
    member = np.concatenate([np.ones(len(retain)), np.zeros(len(unseen))])
    balance = np.where(member == 1, 1 / len(retain), 1 / len(unseen)) * len(member) / 2
    features = np.concatenate([retain, unseen])[:, None]
    weights = fit_logistic(features, member[None], balance[None])
    called = [
        float((logistic_scores(side[:, None], weights)[0] > 0).mean())
        for side in (forget, retain, unseen)
    ]
    auc = float(conditional.share_below(-forget, -unseen).mean())
    return MembershipInference(called[0], auc, called[1], 1.0 - called[2])


def conditional_auc(
    forget_scores: ArrayLike,
    forget_labels: ArrayLike,
    unseen_scores: ArrayLike,
    unseen_labels: ArrayLike,
) -> ConditionalAuc:
    """Class-conditional AUC of forget against unseen with its standard error.

    Below 30 forget samples the error is at least the one that two equal sets would have.
    Every forget class must have unseen samples (`MissingUnseenClass`).
    """
    forget, unseen = (_float64(scores).numpy() for scores in (forget_scores, unseen_scores))
    places = conditional.class_places(
        _labels(forget_labels, len(forget)).numpy(), _labels(unseen_labels, len(unseen)).numpy()
    )
    shares = conditional.percentiles(places, forget, unseen)
    return ConditionalAuc(
        auc=float(shares.forget.mean()),
        standard_error=conditional.standard_error(places, shares),
        percentiles=torch.from_numpy(shares.forget),
        effective_unseen=places.effective_unseen(),
    )
