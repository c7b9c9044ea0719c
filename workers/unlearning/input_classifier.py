"""A classifier of two sets by their inputs alone: linear, cross-fitted, within classes.

n samples, d input features, k principal components, B memberships evaluated at once.
"""

import numpy as np
from numpy.typing import NDArray

from workers.unlearning.attacks import FOLDS, rank_auc
from workers.unlearning.conditional import Floats, Ints

COMPONENTS = 32
_BATCH = 200

Flags = NDArray[np.bool_]


def permuted_aucs(
    inputs: Floats,
    labels: Ints,
    member: Flags,
    permutations: int,
    rng: np.random.Generator,
) -> tuple[float, Floats]:
    """Observed AUC and (permutations,) AUCs with membership shuffled within class.

    Folds ignore membership, so that observed and permuted labels are treated alike.
    """
    classes = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    order = np.argsort(classes, kind="stable")
    classes, member = classes[order], member[order]
    components = _principal_components(_centre(inputs[order], classes))
    counts = [int(member[classes == label].sum()) for label in range(classes.max() + 1)]
    fold = rng.permutation(len(classes)) % FOLDS
    fits = _ridge_fits(components, fold)
    observed = _aucs(fits, fold, classes, member[None], counts)
    null = []
    for start in range(0, permutations, _BATCH):
        size = min(_BATCH, permutations - start)
        shuffled = np.concatenate(
            [
                rng.permuted(np.repeat(member[None, classes == label], size, axis=0), axis=1)
                for label in range(len(counts))
            ],
            axis=1,
        )
        null.append(_aucs(fits, fold, classes, shuffled, counts))
    return float(observed[0]), np.concatenate(null) if null else np.empty(0)


def _centre(values: Floats, classes: Ints) -> Floats:
    centred = np.array(values, np.float64)
    for label in np.unique(classes):
        centred[classes == label] -= centred[classes == label].mean(axis=0)
    return centred


def _principal_components(centred: Floats) -> Floats:
    """(n, d) -> (n, k) unit-variance components, by the smaller of the two Gram matrices."""
    n, d = centred.shape
    count = max(1, min(COMPONENTS, n // 4, d))
    if d <= n:
        vectors = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :count]
        components = centred @ vectors
    else:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        components = (vectors * np.sqrt(np.maximum(values, 0.0)))[:, ::-1][:, :count]
    spread = components.std(axis=0)
    result: Floats = components / np.where(spread > 1e-9, spread, 1.0)
    return result


def _ridge_fits(components: Floats, fold: Ints) -> list[tuple[Floats, Floats]]:
    """For each fold: (k, n_train) training targets to coefficients, (n_held, k) to predictions."""
    fits = []
    for held_out in range(FOLDS):
        train = components[fold != held_out]
        gram = train.T @ train + np.eye(train.shape[1])
        fits.append((np.linalg.solve(gram, train.T), components[fold == held_out]))
    return fits


def _aucs(
    fits: list[tuple[Floats, Floats]],
    fold: Ints,
    classes: Ints,
    member: Flags,
    counts: list[int],
) -> Floats:
    """(B, n) membership -> (B,)"""
    targets = member.astype(np.float64)
    for label, count in enumerate(counts):
        of_class = classes == label
        targets[:, of_class] -= count / of_class.sum()
    scores = np.zeros(member.shape)
    for held_out, (solved, rows) in enumerate(fits):
        coefficients = targets[:, fold != held_out] @ solved.T
        scores[:, fold == held_out] = coefficients @ rows.T
    return rank_auc(scores, classes, member, counts)
