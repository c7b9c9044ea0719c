"""What can be drawn beside the figures: distributions and curves, from what they were computed of.

Nothing is measured anew. n_f forget and n_u unseen samples of the forget set's classes, C classes,
B permutations, K points of a curve.
"""

import math

import numpy as np

from workers.unlearning.comparison import Comparison, Side
from workers.unlearning.conditional import ClassPlaces, Floats
from workers.unlearning.permutation import PermutationTest
from workers.unlearning.report import (
    BeforeAfter,
    EntropyPlot,
    NullPlot,
    Plots,
    RocCurve,
    ScoreFigures,
    SetHistogram,
)

BINS = 30
MOST_POINTS = 200
# Permuted values that lie closer together, in nats, are one value: rounding is no distribution.
LEAST_SPREAD = 1e-9


def nothing(reason: str) -> Plots:
    return Plots(None, None, None, dict.fromkeys(("entropy", "roc", "rf_jsd"), reason))


def plots_of(
    comparison: Comparison, scores: dict[str, ScoreFigures], same: BeforeAfter[PermutationTest]
) -> Plots:
    """`scores` and `same` are what the report says of this comparison."""
    return Plots(
        entropy=entropy_plot(comparison),
        roc={
            name: BeforeAfter(
                _curve(comparison.places, comparison.before, name, found.before.auc),
                _curve(comparison.places, comparison.after, name, found.after.auc),
            )
            for name, found in scores.items()
        },
        rf_jsd=BeforeAfter(null_plot(same.before), null_plot(same.after)),
    )


def entropy_plot(comparison: Comparison) -> EntropyPlot:
    places = comparison.places
    num_classes = comparison.before.test.probs.shape[1]
    edges = np.linspace(0.0, math.log(num_classes), BINS + 1)
    unseen = np.concatenate(places.unseen)
    weights = places.unseen_weights()[unseen]

    def of_forget(side: Side) -> SetHistogram:
        values = -side.forget.scores["neg_entropy"]
        return _histogram(values, np.full(len(values), 1.0 / len(values)), edges)

    def of_unseen(side: Side) -> SetHistogram:
        return _histogram(-side.test.scores["neg_entropy"][unseen], weights, edges)

    return EntropyPlot(
        edges=edges.tolist(),
        forget_before=of_forget(comparison.before),
        forget_after=of_forget(comparison.after),
        unseen=of_unseen(comparison.before),
        unseen_after=of_unseen(comparison.after),
    )


def _histogram(values: Floats, weights: Floats, edges: Floats) -> SetHistogram:
    """(N,), (N,) weights of sum 1. What rounding put beyond an end is counted at that end."""
    inside = np.clip(values, edges[0], edges[-1])
    return SetHistogram(
        size=len(values),
        counts=np.histogram(inside, edges)[0].tolist(),
        shares=np.histogram(inside, edges, weights=weights)[0].tolist(),
    )


def _curve(places: ClassPlaces, side: Side, score: str, auc: float) -> RocCurve:
    rates = thinned(*roc(places, side.forget.scores[score], side.test.scores[score]))
    return RocCurve(auc, *(rate.tolist() for rate in rates))


def roc(places: ClassPlaces, forget: Floats, unseen: Floats) -> tuple[Floats, Floats]:
    """(n_f,), (n_test,) scores -> false and true positive rates (K,), every corner of the curve.

    The curve of an attacker who knows the class and asks for the same false positive rate in each:
    the mean of the classes' own curves at equal rates, weighted by their forget samples (the
    covariate-adjusted ROC curve: Janes, Pepe, Biometrika 96, 2009). The area under it is therefore
    the class-conditional AUC. Equal scores give a slope, as ties count half.
    """
    first, last = _rates_at(places, forget, unseen)
    size = places.forget_size
    at = np.unique(np.concatenate([first, last, [0.0, 1.0]]))
    tied = first < last
    steps = np.bincount(np.searchsorted(at, first[~tied]), minlength=len(at)) / size
    slope = np.zeros(len(at))
    steepness = 1.0 / ((last - first)[tied] * size)
    np.add.at(slope, np.searchsorted(at, first[tied]), steepness)
    np.subtract.at(slope, np.searchsorted(at, last[tied]), steepness)
    sloped = np.append(0.0, np.cumsum(np.cumsum(slope)[:-1] * np.diff(at)))
    reached = sloped + np.cumsum(steps)
    # Twice each rate: below the step that is there, and on top of it.
    false_positive = np.repeat(at, 2)
    true_positive = np.stack([reached - steps, reached], axis=1).ravel()
    true_positive = np.maximum.accumulate(np.clip(true_positive, 0.0, 1.0))
    true_positive[-1] = 1.0
    corner = np.append(True, (np.diff(false_positive) > 0) | (np.diff(true_positive) > 0))
    return false_positive[corner], true_positive[corner]


def _rates_at(places: ClassPlaces, forget: Floats, unseen: Floats) -> tuple[Floats, Floats]:
    """(n_f,) shares of unseen samples of x_i's class that score above x_i, and at least as high."""
    above, at_least = np.zeros(places.forget_size), np.zeros(places.forget_size)
    for of_forget, of_unseen in zip(places.forget, places.unseen, strict=True):
        ordered, count = np.sort(unseen[of_unseen]), len(of_unseen)
        values = forget[of_forget]
        above[of_forget] = (count - np.searchsorted(ordered, values, side="right")) / count
        at_least[of_forget] = (count - np.searchsorted(ordered, values, side="left")) / count
    return above, at_least


def thinned(x: Floats, y: Floats, most: int = MOST_POINTS) -> tuple[Floats, Floats]:
    """At most `most` of the points of a curve that rises from (0, 0) to (1, 1), both ends included.

    x + y is the way along such a curve, 0 to 2. Of each of `most` / 2 - 1 equal parts of the way
    the first and the last point stay, so that what is left out lies within 1 / (sqrt(2) (most / 2 -
    1)) of the line: .0072 for 200 points.
    """
    if len(x) <= most:
        return x, y
    way = x + y
    marks = np.linspace(0.0, 2.0, most // 2)
    from_mark = np.searchsorted(way, marks, side="left")
    up_to_mark = np.searchsorted(way, marks, side="right") - 1
    kept = np.union1d(from_mark, up_to_mark)
    return x[kept], y[kept]


def null_plot(test: PermutationTest) -> NullPlot:
    low = float(test.draws.min())
    spread = max(float(test.draws.max()) - low, LEAST_SPREAD)
    edges = np.linspace(low, low + spread, BINS + 1)
    inside = np.clip(test.draws, edges[0], edges[-1])
    return NullPlot(
        value=test.value,
        p_up=test.p_up,
        permutations=test.permutations,
        edges=edges.tolist(),
        counts=np.histogram(inside, edges)[0].tolist(),
    )
