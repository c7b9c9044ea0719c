"""Where the temperature gets its two accuracies from. N samples, C classes."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.unlearning.errors import EmptyForgetSet, EmptySet, NonFiniteLogits, ShapeMismatch


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of the N rows whose largest logit is the label's.

    Raises EmptySet, ShapeMismatch or NonFiniteLogits.
    """
    if not len(labels):
        raise EmptySet("labelled")
    if logits.ndim != 2 or logits.shape[:1] != labels.shape:
        raise ShapeMismatch("logits and labels", logits.shape, labels.shape)
    bad = int((~torch.isfinite(logits)).any(dim=1).sum())
    if bad:
        raise NonFiniteLogits(bad, len(logits))
    return int((logits.argmax(dim=1) == labels).sum()) / len(labels)


def uncalibrated(forget_labels: Tensor, unseen_labels: Tensor) -> int:
    """Forget samples of classes without an unseen sample: they are no part of the goal."""
    return int((~torch.isin(forget_labels.cpu(), unseen_labels.cpu())).sum())


def unseen_accuracy(logits: Tensor, labels: Tensor, forget_labels: Tensor) -> float:
    """Class-matched a_u: accuracy on D_u (n_u, C), re-weighted to D_f's class histogram.

    One person's samples are not class-balanced, while the paper assumes that D_f and D_u are
    distributed alike. Classes of D_f without unseen samples are left out; if no class is left, the
    plain accuracy stands in.
    """
    plain = accuracy(logits, labels)
    correct = (logits.argmax(dim=1) == labels).double()
    weight, total = 0, 0.0
    for label, count in enumerate(torch.bincount(forget_labels).tolist()):
        of_class = labels == label
        if count and bool(of_class.any()):
            weight += count
            total += count * float(correct[of_class].mean())
    return total / weight if weight else plain


def target_accuracy(
    logits: Tensor,
    labels: Tensor,
    forget_labels: Tensor,
    whole_classes: Tensor,
    *,
    class_matched: bool,
) -> float:
    """Goal for Acc(f_un, D_f): 0 if every class in it is forgotten entirely, else a_u.

    Class-matched, each class has its own part in the goal, which is 0 for one that is forgotten
    entirely; the paper's a_u knows no classes.
    """
    partial = forget_labels[~torch.isin(forget_labels, whole_classes.to(forget_labels.device))]
    if len(partial) == 0:
        return 0.0
    if not class_matched:
        return accuracy(logits, labels)
    return unseen_accuracy(logits, labels, partial) * len(partial) / len(forget_labels)


def smoothed_accuracy(correct: int, count: int, strength: float, unseen_accuracy: float) -> float:
    """(c + s a_u) / (n + s): pulls the coarse accuracy of a few samples towards the goal.

    With 3 samples one more correct answer moves the accuracy by a third and the temperature with
    it. s = 0 gives the plain accuracy. Raises EmptyForgetSet.
    """
    if count < 1:
        raise EmptyForgetSet("an accuracy")
    return (correct + strength * unseen_accuracy) / (count + strength)
