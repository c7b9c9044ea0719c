"""What the AUC misses: forget samples squeezed into a band of percentiles.

Unlearning can leave the mean of the percentiles V at .5 and still gather them in the middle. The
band advantage is TPR - FPR of the best interval of V, chosen on one half of the forget set and
scored on the other; Kuiper's statistic compares V with the uniform distribution. Both depend on
ranks alone, so their distributions for two equal sets follow from the class counts.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from workers.unlearning.conditional import (
    ClassPlaces,
    Floats,
    Ints,
    check_scores,
    class_places,
    percentiles,
)

SPLITS = 10
SMALLEST_FORGET_SET = 4  # two samples in each half
_CHUNK = 4_000_000
_ROUNDING = 1e-9


@dataclass(frozen=True)
class BandAdvantage:
    """Mean over splits and both directions of TPR - FPR on samples that did not choose."""

    advantage: float
    true_positive_rate: float
    false_positive_rate: float
    standard_error: float


@dataclass(frozen=True)
class BandSets:
    """Percentiles of the forget set among the unseen rows that choose and those that score."""

    choosing: Floats  # (n_f,)
    scoring: Floats  # (n_f,)
    counts: tuple[tuple[int, int, int], ...]  # (n_f,c, choosing, scoring) of each class
    effective_unseen: float


def band_advantage(
    forget_scores: Floats,
    forget_labels: Ints,
    unseen_scores: Floats,
    unseen_labels: Ints,
    *,
    seed: int,
    choosing_scores: Floats | None = None,
    choosing_labels: Ints | None = None,
) -> BandAdvantage:
    """Band advantage; the interval is chosen among `choosing` and scored among `unseen` samples.

    Without choosing samples of every forget class the unseen set is halved for it.
    """
    sets = band_sets(
        forget_scores,
        forget_labels,
        unseen_scores,
        unseen_labels,
        seed=seed,
        choosing_scores=choosing_scores,
        choosing_labels=choosing_labels,
    )
    return advantage_of(sets, seed)


def band_sets(
    forget_scores: Floats,
    forget_labels: Ints,
    unseen_scores: Floats,
    unseen_labels: Ints,
    *,
    seed: int,
    choosing_scores: Floats | None,
    choosing_labels: Ints | None,
) -> BandSets:
    check_scores(forget_scores, len(forget_labels), "forget")
    check_scores(unseen_scores, len(unseen_labels), "unseen")
    if (
        choosing_scores is None
        or choosing_labels is None
        or len(np.setdiff1d(forget_labels, choosing_labels))
    ):
        chosen, kept = _halves(forget_labels, unseen_labels, seed)
        choosing_scores, choosing_labels = unseen_scores[chosen], unseen_labels[chosen]
        unseen_scores, unseen_labels = unseen_scores[kept], unseen_labels[kept]
    check_scores(choosing_scores, len(choosing_labels), "choosing")
    forget, chooser, scorer = _untied([seed, 9], forget_scores, choosing_scores, unseen_scores)
    choosing = class_places(forget_labels, choosing_labels)
    scoring = class_places(forget_labels, unseen_labels)
    counts = tuple(
        (n_f, n_choose, n_score)
        for (n_f, n_choose), (_, n_score) in zip(choosing.counts, scoring.counts, strict=True)
    )
    return BandSets(
        percentiles(choosing, forget, chooser).forget,
        percentiles(scoring, forget, scorer).forget,
        counts,
        scoring.effective_unseen(),
    )


def advantage_of(sets: BandSets, seed: int) -> BandAdvantage:
    tpr, fpr = _rates(sets.choosing[None], sets.scoring[None], sets.counts, seed)
    hit, miss = float(tpr[0]), float(fpr[0])
    # Binomial on both sides. Averaging over splits only narrows it.
    variance = hit * (1 - hit) / len(sets.scoring) + miss * (1 - miss) / sets.effective_unseen
    return BandAdvantage(hit - miss, hit, miss, float(np.sqrt(variance)))


def band_p_value(sets: BandSets, seed: int, draws: int) -> float:
    """Share of draws of two equal sets whose band advantage is at least the observed one."""
    tpr, fpr = _rates(sets.choosing[None], sets.scoring[None], sets.counts, seed)
    null = _band_null(sets.counts, seed, draws)
    exceeding = int((null >= tpr[0] - fpr[0] - _ROUNDING).sum())
    return (1 + exceeding) / (len(null) + 1)


def kuiper(places: ClassPlaces, forget: Floats, unseen: Floats, seed: int) -> float:
    """D+ + D- of V against the uniform distribution; ties are broken at random, by the seed."""
    values = percentiles(places, *_untied([seed, 3], forget, unseen)).forget
    return float(_kuiper_statistic(values[None])[0])


def kuiper_p_value(statistic: float, places: ClassPlaces, seed: int, draws: int) -> float:
    null = _kuiper_null(places.counts, seed, draws)
    return (1 + int((null >= statistic - _ROUNDING).sum())) / (len(null) + 1)


def _untied(seed: list[int], *sets: Floats) -> list[Floats]:
    """The ranks of all scores together, equal ones in random order.

    A band closed around tied percentiles would hold more samples than its length tells.
    """
    pooled = np.concatenate(sets)
    ranks = np.empty(len(pooled))
    order = np.lexsort((np.random.default_rng(seed).random(len(pooled)), pooled))
    ranks[order] = np.arange(len(pooled))
    return np.split(ranks, np.cumsum([len(part) for part in sets])[:-1])


def _halves(forget_labels: Ints, unseen_labels: Ints, seed: int) -> tuple[Ints, Ints]:
    """Row indices of two random halves of every class; a class of one row is in both."""
    rng = np.random.default_rng([seed, 1])
    first, second = [], []
    for label in np.unique(forget_labels):
        rows = rng.permutation(np.flatnonzero(unseen_labels == label))
        cut = len(rows) // 2
        first.append(rows[:cut] if cut else rows)
        second.append(rows[cut:])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def _rates(
    choosing: Floats, scoring: Floats, counts: tuple[tuple[int, int, int], ...], seed: int
) -> tuple[Floats, Floats]:
    """(B, n_f) twice -> (B,) mean TPR and FPR over SPLITS halvings, each also swapped."""
    rng = np.random.default_rng([seed, 2])
    size = choosing.shape[1]
    tpr, fpr = np.zeros(len(choosing)), np.zeros(len(choosing))
    for _ in range(SPLITS):
        order = rng.permutation(size)
        halves = order[: size // 2], order[size // 2 :]
        for chosen, scored in (halves, halves[::-1]):
            low, high = _best_interval(choosing[:, chosen])
            inside = scoring[:, scored]
            tpr += ((inside >= low[:, None]) & (inside <= high[:, None])).mean(axis=1)
            fpr += _chance_inside(low, high, counts)
    return tpr / (2 * SPLITS), fpr / (2 * SPLITS)


def _best_interval(values: Floats) -> tuple[Floats, Floats]:
    """(B, m) -> (B,), (B,): the closed interval with the largest share of values minus length."""
    ordered = np.sort(values, axis=1)
    size = ordered.shape[1]
    steps = np.arange(size) / size
    opening = steps - ordered
    best_opening = np.minimum.accumulate(opening, axis=1)
    end = np.argmax(steps + 1 / size - ordered - best_opening, axis=1)
    rows = np.arange(len(values))
    start = np.argmax(opening == best_opening[rows, end][:, None], axis=1)
    return ordered[rows, start], ordered[rows, end]


def _chance_inside(low: Floats, high: Floats, counts: tuple[tuple[int, int, int], ...]) -> Floats:
    """(B,) chance that a never-trained sample of the forget set's histogram falls inside.

    Among n unseen samples such a sample has the percentiles 0, 1/n, ..., 1 with equal chances.
    """
    of_class = np.array(counts, dtype=np.float64)
    weight, n = of_class[:, 0] / of_class[:, 0].sum(), of_class[:, 2]
    last = np.floor(high[:, None] * n + _ROUNDING)
    first = np.ceil(low[:, None] * n - _ROUNDING)
    result: Floats = (np.maximum(0.0, last - first + 1.0) / (n + 1.0)) @ weight
    return result


def _shuffled_rows(
    kinds: NDArray[np.int8], draws: int, rng: np.random.Generator
) -> NDArray[np.int8]:
    return rng.permuted(np.broadcast_to(kinds, (draws, len(kinds))), axis=1)


def _chunks(draws: int, width: int) -> list[int]:
    step = max(1, min(draws, _CHUNK // max(1, width)))
    return [min(step, draws - start) for start in range(0, draws, step)]


@lru_cache(maxsize=64)
def _band_null(counts: tuple[tuple[int, int, int], ...], seed: int, draws: int) -> Floats:
    """(draws,) sorted band advantages of forget sets that are like the unseen ones."""
    rng = np.random.default_rng([seed, 4])
    values = []
    for step in _chunks(draws, sum(map(sum, counts))):
        sides: list[tuple[Floats, Floats]] = []
        for n_forget, n_choose, n_score in counts:
            kinds = np.repeat(np.array([0, 1, 2], np.int8), (n_forget, n_choose, n_score))
            rows = _shuffled_rows(kinds, step, rng)
            is_forget = rows == 0
            below = [
                np.cumsum(rows == kind, axis=1)[is_forget].reshape(step, n_forget) / n
                for kind, n in ((1, n_choose), (2, n_score))
            ]
            sides.append((below[0], below[1]))
        choosing, scoring = (np.concatenate(parts, axis=1) for parts in zip(*sides, strict=True))
        tpr, fpr = _rates(choosing, scoring, counts, seed)
        values.append(tpr - fpr)
    return np.sort(np.concatenate(values))


def _kuiper_statistic(values: Floats) -> Floats:
    """(B, n) -> (B,)"""
    ordered = np.sort(values, axis=1)
    size = ordered.shape[1]
    above = (np.arange(1, size + 1) / size - ordered).max(axis=1)
    below = (ordered - np.arange(size) / size).max(axis=1)
    result: Floats = above + below
    return result


@lru_cache(maxsize=64)
def _kuiper_null(counts: tuple[tuple[int, int], ...], seed: int, draws: int) -> Floats:
    """(draws,) Kuiper statistics of forget sets that are like the unseen ones."""
    rng = np.random.default_rng([seed, 5])
    values = []
    for step in _chunks(draws, sum(n_forget for n_forget, _ in counts)):
        parts = [_unseen_below(*of_class, step, rng) / of_class[1] for of_class in counts]
        values.append(_kuiper_statistic(np.concatenate(parts).T))
    return np.sort(np.concatenate(values))


def _unseen_below(n_forget: int, n_unseen: int, draws: int, rng: np.random.Generator) -> Ints:
    """(n_forget, draws) how many of n_unseen samples lie below each of n_forget like them.

    All orders are equally likely, so each forget sample in turn falls into any of the gaps that
    the samples before it leave: n_unseen + 1 between unseen ones, and one more beside each of the
    earlier forget samples, with as many unseen ones below as that has.
    """
    below = np.zeros((n_forget, draws), np.int64)
    columns = np.arange(draws)
    for row in range(n_forget):
        gap = rng.integers(0, n_unseen + 1 + row, draws)
        beside = np.maximum(gap - n_unseen - 1, 0)
        below[row] = np.where(gap <= n_unseen, gap, below[beside, columns])
    return below
