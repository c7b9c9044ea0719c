"""Attacks that steer nothing, so that what is steered cannot hide from them.

Learned: a cross-fitted logistic regression on the scores, their squares and correctness.
Stability: phi minus its mean under small perturbations, scored by its band advantage.
n samples, d features, B memberships evaluated at once.
"""

import numpy as np
from numpy.typing import NDArray

from workers.unlearning.conditional import ClassPlaces, Floats, Ints
from workers.unlearning.logistic import fit_logistic, logistic_scores
from workers.unlearning.scores import SCORES

FOLDS = 5
SMALLEST_FORGET_SET = 5  # one sample in each fold
_CLIP = 4.0  # standard deviations; a few outliers must not rule the squares
_CHUNK = 200_000

Flags = NDArray[np.bool_]


def attack_features(logits: Floats, labels: Ints) -> Floats:
    """(N, C), (N,) -> (N, 4): the three scores and correctness."""
    columns = [score(logits, labels) for score in SCORES.values()]
    columns.append((logits.argmax(axis=1) == labels).astype(np.float64))
    return np.stack(columns, axis=1)


def learned_attack(
    places: ClassPlaces, forget: Floats, unseen: Floats, *, seed: int, draws: int
) -> tuple[float, float | None]:
    """Class-conditional AUC of the cross-fitted attack, and its p-value.

    The null: pseudo-forget sets with the forget set's histogram (at most half of each class) drawn
    out of the unseen set, attacked in the same way. No p-value if that leaves fewer than FOLDS.
    """
    rng = np.random.default_rng([seed, 7])
    member_counts = [n_forget for n_forget, _ in places.counts]
    features, classes = _pool(places, forget, unseen)
    is_member = np.concatenate([np.ones(len(rows), bool) for rows in places.forget])
    is_member = np.concatenate([is_member, np.zeros(len(features) - len(is_member), bool)])
    keys = rng.random((1, len(features))) + ~is_member
    observed = float(_cross_fitted_auc(_shape(features, classes), classes, keys, member_counts)[0])

    rows = np.concatenate(places.unseen)
    unseen_classes = np.repeat(np.arange(len(places.unseen)), [len(u) for u in places.unseen])
    shaped = _shape(unseen[rows], unseen_classes)
    pseudo = [min(n_forget, n_unseen // 2) for n_forget, n_unseen in places.counts]
    if sum(pseudo) < FOLDS:
        return observed, None
    null = []
    step = max(1, _CHUNK // len(rows))
    for start in range(0, draws, step):
        keys = rng.random((min(step, draws - start), len(rows)))
        null.append(_cross_fitted_auc(shaped, unseen_classes, keys, pseudo))
    exceeding = int((np.concatenate(null) >= observed).sum())
    return observed, (1 + exceeding) / (draws + 1)


def _pool(places: ClassPlaces, forget: Floats, unseen: Floats) -> tuple[Floats, Ints]:
    """Forget rows class by class, then unseen rows class by class; class places (n,)."""
    rows = [forget[f] for f in places.forget] + [unseen[u] for u in places.unseen]
    sizes = [len(part) for part in rows]
    labels = np.repeat(np.tile(np.arange(len(places.forget)), 2), sizes)
    return np.concatenate(rows), labels.astype(np.int64)


def _shape(features: Floats, classes: Ints) -> Floats:
    """(n, d) -> (n, 2 d - 1): class-centred, scaled, clipped; with squares of all but the last."""
    centred = features.copy()
    for label in np.unique(classes):
        of_class = classes == label
        centred[of_class] -= centred[of_class].mean(axis=0)
    spread = centred.std(axis=0)
    scaled = np.clip(centred / np.where(spread > 0, spread, 1.0), -_CLIP, _CLIP)
    return np.concatenate([scaled, scaled[:, :-1] ** 2], axis=1)


def _cross_fitted_auc(
    features: Floats, classes: Ints, keys: Floats, member_counts: list[int]
) -> Floats:
    """(n, d), (n,), (B, n) random keys -> (B,) AUC of out-of-fold scores.

    In each class the rows with the smallest keys are the members, `member_counts[c]` of them.
    """
    member, fold = _memberships(classes, keys, member_counts)
    scores = np.zeros(keys.shape)
    for held_out in range(FOLDS):
        train = fold != held_out
        weights = _balanced(member & train, ~member & train)
        theta = fit_logistic(features, member.astype(np.float64), weights, steps=8, tolerance=1e-4)
        scores = np.where(train, scores, logistic_scores(features, theta))
    # Equal scores are ordered by the keys' last digits, not by the rows' order.
    return rank_auc(scores + 1e-9 * (keys * 1e6 % 1.0), classes, member, member_counts)


def _memberships(classes: Ints, keys: Floats, member_counts: list[int]) -> tuple[Flags, Ints]:
    """(B, n) membership, and folds that split members and others evenly."""
    member = np.zeros(keys.shape, bool)
    fold = np.zeros(keys.shape, np.int64)
    members_before, others_before = 0, 0
    for label, count in enumerate(member_counts):
        rows = np.flatnonzero(classes == label)
        place = np.argsort(np.argsort(keys[:, rows], axis=1), axis=1)
        inside = place < count
        member[:, rows] = inside
        running = np.where(inside, place + members_before, place - count + others_before)
        fold[:, rows] = running % FOLDS
        members_before += count
        others_before += len(rows) - count
    return member, fold


def _balanced(positive: Flags, negative: Flags) -> Floats:
    """(B, n) weights that give both sides half of the total."""
    total = (positive | negative).sum(axis=1, keepdims=True)
    sides = [
        side * (total / (2.0 * np.maximum(side.sum(axis=1, keepdims=True), 1)))
        for side in (positive, negative)
    ]
    result: Floats = sides[0] + sides[1]
    return result


def rank_auc(scores: Floats, classes: Ints, member: Flags, member_counts: list[int]) -> Floats:
    """(B, n) -> (B,) mean percentile of the members among the others of their class."""
    total = np.zeros(len(scores))
    weight = 0
    for label, count in enumerate(member_counts):
        rows = np.flatnonzero(classes == label)
        others = len(rows) - count
        if not count or not others:
            continue
        place = np.argsort(np.argsort(scores[:, rows], axis=1), axis=1) + 1
        rank_sum = (place * member[:, rows]).sum(axis=1)
        total += (rank_sum - count * (count + 1) / 2) / others
        weight += count
    return total / weight
