"""Per-sample scores from logits: higher means "more like a sample that was trained on".

All take (N, C) float64 logits and, where they need the label, (N,) labels; all give (N,).
"""

from collections.abc import Callable

import numpy as np

from workers.unlearning.conditional import Floats, Ints


def softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def _split(logits: Floats, labels: Ints) -> tuple[Floats, Floats]:
    """(N,) logit of the label, (N, C - 1) the others."""
    rows, classes = logits.shape
    others = np.ones((rows, classes), bool)
    others[np.arange(rows), labels] = False
    return logits[~others], logits[others].reshape(rows, classes - 1)


def evidence(logits: Floats, labels: Ints) -> Floats:
    """phi = z_y - logsumexp of the other logits: orders like the loss and does not saturate."""
    own, others = _split(logits, labels)
    top = others.max(axis=1)
    result: Floats = own - top - np.log(np.exp(others - top[:, None]).sum(axis=1))
    return result


def margin(logits: Floats, labels: Ints) -> Floats:
    """z_y minus the largest other logit."""
    own, others = _split(logits, labels)
    result: Floats = own - others.max(axis=1)
    return result


def negative_entropy(logits: Floats, labels: Ints) -> Floats:
    """sum_c p_c ln p_c: blind to the label."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    result: Floats = (np.exp(log_probs) * log_probs).sum(axis=1)
    return result


SCORES: dict[str, Callable[[Floats, Ints], Floats]] = {
    "phi": evidence,
    "margin": margin,
    "neg_entropy": negative_entropy,
}
