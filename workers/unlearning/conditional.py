"""Percentiles of forget samples among unseen samples of their own class, and what follows.

Scores order samples from "looks unseen" to "looks trained on". V_i is the share of unseen samples
of x_i's class that score below x_i (ties count half); the class-conditional AUC is the mean of V.
It adds up over persons, and V_i is the percentile of one sample. NumPy, float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.unlearning.errors import (
    EmptyForgetSet,
    EmptySet,
    MissingUnseenClass,
    NonFiniteLogits,
    ShapeMismatch,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Variance of a uniform percentile: stands in where one sample gives no sample variance.
UNIFORM_VARIANCE = 1.0 / 12.0
SMALL_FORGET_SET = 30


@dataclass(frozen=True)
class ClassPlaces:
    """For every class of the forget set: where its forget and its unseen rows stand."""

    forget: tuple[Ints, ...]
    unseen: tuple[Ints, ...]
    forget_size: int
    unseen_size: int

    @property
    def counts(self) -> tuple[tuple[int, int], ...]:
        """(n_f,c, n_u,c) of each class."""
        return tuple((len(f), len(u)) for f, u in zip(self.forget, self.unseen, strict=True))

    def unseen_weights(self) -> Floats:
        """(n_u,) w_u = n_f,c / (n_f n_u,c): unseen rows brought to the forget set's histogram."""
        weights = np.zeros(self.unseen_size)
        for rows, (n_forget, n_unseen) in zip(self.unseen, self.counts, strict=True):
            weights[rows] = n_forget / (self.forget_size * n_unseen)
        return weights

    def effective_unseen(self) -> float:
        """n_eff = 1 / sum w_u^2: how many evenly spread unseen samples this set is worth."""
        return float(1.0 / np.square(self.unseen_weights()).sum())


def class_places(forget_labels: Ints, unseen_labels: Ints) -> ClassPlaces:
    if len(forget_labels) == 0:
        raise EmptyForgetSet("a comparison with unseen samples")
    if len(unseen_labels) == 0:
        raise EmptySet("unseen")
    classes = np.unique(forget_labels)
    missing = np.setdiff1d(classes, unseen_labels)
    if len(missing):
        raise MissingUnseenClass(missing.tolist(), int(np.isin(forget_labels, missing).sum()))
    return ClassPlaces(
        tuple(np.flatnonzero(forget_labels == c) for c in classes),
        tuple(np.flatnonzero(unseen_labels == c) for c in classes),
        len(forget_labels),
        len(unseen_labels),
    )


def share_below(values: Floats, among: Floats) -> Floats:
    """Share of `among` that lies below each value, ties half."""
    ordered = np.sort(among)
    below = np.searchsorted(ordered, values, side="left")
    up_to = np.searchsorted(ordered, values, side="right")
    return (below + up_to) / (2.0 * len(ordered))


@dataclass(frozen=True)
class Percentiles:
    forget: Floats  # (n_f,) V: among unseen samples of the same class
    unseen_above: Floats  # (n_u,) W: share of forget samples of the class that lie above; else 0


def percentiles(places: ClassPlaces, forget_scores: Floats, unseen_scores: Floats) -> Percentiles:
    check_scores(forget_scores, places.forget_size, "forget")
    check_scores(unseen_scores, places.unseen_size, "unseen")
    below = np.zeros(places.forget_size)
    above = np.zeros(places.unseen_size)
    for forget, unseen in zip(places.forget, places.unseen, strict=True):
        below[forget] = share_below(forget_scores[forget], unseen_scores[unseen])
        above[unseen] = 1.0 - share_below(unseen_scores[unseen], forget_scores[forget])
    return Percentiles(below, above)


def check_scores(scores: Floats, rows: int, name: str) -> None:
    if scores.shape != (rows,):
        raise ShapeMismatch(f"{name} scores and labels", scores.shape, (rows,))
    bad = int((~np.isfinite(scores)).sum())
    if bad:
        raise NonFiniteLogits(bad, rows, f"{name} scores")


def _variance(values: Floats) -> float:
    return float(np.var(values, ddof=1)) if len(values) > 1 else UNIFORM_VARIANCE


def smallest_error(places: ClassPlaces) -> float:
    """se_0: standard error of the AUC when nothing tells the two sets apart."""
    share = 1.0 / places.forget_size + 1.0 / places.effective_unseen()
    return float(np.sqrt(share * UNIFORM_VARIANCE))


def standard_error(places: ClassPlaces, shares: Percentiles) -> float:
    """SE of the mean of V over both samples; small forget sets get at least `smallest_error`."""
    error = np.sqrt(_spread(places, shares))
    if places.forget_size < SMALL_FORGET_SET:
        error = max(error, smallest_error(places))
    return float(error)


def _spread(places: ClassPlaces, shares: Percentiles) -> float:
    """var(V)/n_f + sum over classes of w_c^2 n_u,c var_c(W)."""
    total = _variance(shares.forget) / places.forget_size
    for unseen, (n_forget, n_unseen) in zip(places.unseen, places.counts, strict=True):
        weight = n_forget / (places.forget_size * n_unseen)
        total += weight**2 * n_unseen * _variance(shares.unseen_above[unseen])
    return total


def paired_change(
    places: ClassPlaces, before: Percentiles, after: Percentiles
) -> tuple[float, float]:
    """Mean of V_after - V_before over the same samples, and its standard error.

    The error is never below the resolution of the percentiles, so that a change that is equal for
    every sample still has a finite z.
    """
    change = Percentiles(after.forget - before.forget, after.unseen_above - before.unseen_above)
    resolution = 1.0 / (places.effective_unseen() * np.sqrt(12.0 * places.forget_size))
    error = max(float(np.sqrt(_spread(places, change))), float(resolution))
    return float(change.forget.mean()), error
