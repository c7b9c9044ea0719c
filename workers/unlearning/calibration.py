"""Where the temperature gets its two accuracies from. N samples, C classes."""

from __future__ import annotations

import torch
from torch import Tensor


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of the N rows whose largest logit is the label's."""
    return int((logits.argmax(dim=1) == labels).sum()) / len(labels)


def _plain_accuracy(logits: Tensor, labels: Tensor, forget_labels: Tensor) -> float:
    return accuracy(logits, labels)


def unseen_accuracy(logits: Tensor, labels: Tensor, forget_labels: Tensor) -> float:
    """Class-matched a_u: accuracy on D_u (n_u, C), re-weighted to D_f's class histogram.

    One person's samples are not class-balanced, while the paper assumes that D_f and D_u are
    distributed alike. Classes of D_f without unseen samples are left out; if no class is left, the
    plain accuracy stands in.
    """
    correct = (logits.argmax(dim=1) == labels).double()
    weight, total = 0, 0.0
    for label, count in enumerate(torch.bincount(forget_labels).tolist()):
        of_class = labels == label
        if count and bool(of_class.any()):
            weight += count
            total += count * float(correct[of_class].mean())
    return total / weight if weight else accuracy(logits, labels)


def target_accuracy(
    logits: Tensor,
    labels: Tensor,
    forget_labels: Tensor,
    whole_classes: Tensor,
    *,
    class_matched: bool,
) -> float:
    """Goal for Acc(f_un, D_f): unseen accuracy, and 0 for classes that are forgotten entirely."""
    partial = forget_labels[~torch.isin(forget_labels, whole_classes.to(forget_labels.device))]
    if len(partial) == 0:
        return 0.0
    matched = unseen_accuracy if class_matched else _plain_accuracy
    unseen = matched(logits, labels, partial)
    return unseen * len(partial) / len(forget_labels)


def smoothed_accuracy(correct: int, count: int, strength: float, unseen_accuracy: float) -> float:
    """(c + s a_u) / (n + s): pulls the coarse accuracy of a few samples towards the goal.

    With 3 samples one more correct answer moves the accuracy by a third and the temperature with
    it. s = 0 gives the plain accuracy.
    """
    return (correct + strength * unseen_accuracy) / (count + strength)
