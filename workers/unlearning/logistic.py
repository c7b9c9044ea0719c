"""L2-regularised logistic regression by Newton's method, many weightings of one design at once.

The calibration of an attack fits hundreds of label assignments of the same rows; as matrix products
they cost one pass instead of hundreds. Objective as in scikit-learn with C = 1:
1/2 |w|^2 + sum_i weight_i log(1 + exp(-y_i (w x_i + b))), the intercept unpenalised.
"""

import numpy as np

from workers.unlearning.conditional import Floats

LONGEST_STEP = 4.0
# Keeps the intercept's curvature positive when a fit separates completely.
INTERCEPT_RIDGE = 1e-9


def _design(features: Floats) -> Floats:
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def fit_logistic(
    features: Floats,
    targets: Floats,
    weights: Floats,
    *,
    steps: int = 25,
    tolerance: float = 1e-9,
) -> Floats:
    """(n, d) features, (B, n) targets in {0, 1}, (B, n) sample weights -> (B, d + 1).

    Stops after `steps` Newton steps or when no coefficient moves by more than `tolerance`.
    """
    design = _design(features)
    width = design.shape[1]
    # The Hessian is symmetric: each pair of columns is summed once.
    first, second = np.triu_indices(width)
    outer = design[:, first] * design[:, second]
    place = np.empty((width, width), np.int64)
    place[first, second] = place[second, first] = np.arange(len(first))
    ridge = np.ones(width)
    ridge[-1] = INTERCEPT_RIDGE
    theta = np.zeros((len(targets), width))
    for _ in range(steps):
        chance = _sigmoid(theta @ design.T)
        gradient = (weights * (chance - targets)) @ design + ridge * theta
        curvature = (weights * chance * (1.0 - chance)) @ outer
        hessian = curvature[:, place] + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        # Far from the optimum a full Newton step can overshoot; its length is bounded.
        length = np.abs(step).max(axis=1, keepdims=True)
        theta = theta - step * np.minimum(1.0, LONGEST_STEP / np.maximum(length, 1e-300))
        if length.max() < tolerance:
            break
    return theta


def logistic_scores(features: Floats, theta: Floats) -> Floats:
    """(n, d), (B, d + 1) -> (B, n) log odds."""
    scores: Floats = theta @ _design(features).T
    return scores


def _sigmoid(values: Floats) -> Floats:
    result: Floats = np.tanh(0.5 * values)
    result += 1.0
    result *= 0.5
    return result
