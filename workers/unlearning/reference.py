"""Are the forget samples comparable with the unseen ones at all, before any model is asked?

One person's samples can differ from strangers' by their inputs (style, camera, scanner). Then even
a model that never saw them treats them differently, and .5 is the wrong target for an attack.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workers.unlearning.attacks import FOLDS, rank_auc
from workers.unlearning.conditional import Floats, Ints, class_places, percentiles
from workers.unlearning.errors import EmptyForgetSet, EmptySet, ShapeMismatch

LARGEST_UNSEEN = 4_000
LARGEST_SIDE = 16  # images are averaged down to this: style shows at low resolution
COMPONENTS = 32
SMALLEST_FORGET_SET = 5
FEWEST_PERSONS = 10
_BATCH = 200


@dataclass(frozen=True)
class ReferenceCheck:
    """An input-only classifier of forget against unseen; None where it could not be fitted."""

    auc: float | None
    p_value: float | None
    samples: int
    permutations: int
    reason: str | None = None

    def fires(self, auc: float, p_value: float) -> bool:
        """The samples differ from the unseen ones by their inputs alone: .5 is not the target."""
        if self.auc is None or self.p_value is None:
            return False
        return self.auc >= auc and self.p_value <= p_value


def reference_check(
    forget_inputs: Tensor,
    forget_labels: Tensor,
    unseen_inputs: Tensor,
    unseen_labels: Tensor,
    seed: int,
    *,
    permutations: int = 999,
) -> ReferenceCheck:
    """Cross-fitted linear classifier on class-centred principal components; no model is read.

    Inputs (N, *input_shape). The AUC is class-conditional; its p-value comes from permuting forget
    and unseen within class. Classes without unseen samples are left out.
    """
    if not len(forget_labels):
        raise EmptyForgetSet("the reference check")
    if not len(unseen_labels):
        raise EmptySet("unseen")
    if forget_inputs.shape[1:] != unseen_inputs.shape[1:]:
        raise ShapeMismatch("forget and unseen inputs", forget_inputs.shape, unseen_inputs.shape)
    of_forget, of_unseen = _numpy_labels(forget_labels), _numpy_labels(unseen_labels)
    rng = np.random.default_rng([seed, 8])
    shared = np.intersect1d(of_forget, of_unseen)
    forget_rows = np.flatnonzero(np.isin(of_forget, shared))
    unseen_rows = np.flatnonzero(np.isin(of_unseen, shared))
    if len(forget_rows) < SMALLEST_FORGET_SET:
        reason = f"needs {SMALLEST_FORGET_SET} comparable forget samples"
        return ReferenceCheck(None, None, len(forget_rows), 0, reason)
    if len(unseen_rows) > LARGEST_UNSEEN:
        unseen_rows = rng.permutation(unseen_rows)[:LARGEST_UNSEEN]
    labels = np.concatenate([of_forget[forget_rows], of_unseen[unseen_rows]])
    inputs = torch.cat([_flat(forget_inputs, forget_rows), _flat(unseen_inputs, unseen_rows)])
    member = np.arange(len(labels)) < len(forget_rows)
    observed, null = _permuted_aucs(inputs.numpy(), labels, member, permutations, rng)
    p_value = (1 + int((null >= observed).sum())) / (permutations + 1)
    return ReferenceCheck(observed, p_value, len(forget_rows), permutations)


def person_variance(scores: Floats, labels: Ints, persons: Ints) -> tuple[float, int] | None:
    """tau^2: variance between never-trained persons of their mean percentile, and their number.

    Each unseen person stands against all others; what its own sample size explains is taken off.
    `persons` is -1 where unknown. None with fewer than 10 comparable persons.
    """
    means, explained = [], []
    for person in np.unique(persons[persons >= 0]):
        own = persons == person
        comparable = own & np.isin(labels, labels[~own])
        if not comparable.any():
            continue
        places = class_places(labels[comparable], labels[~own])
        means.append(percentiles(places, scores[comparable], scores[~own]).forget.mean())
        explained.append((1.0 / places.forget_size + 1.0 / places.effective_unseen()) / 12.0)
    if len(means) < FEWEST_PERSONS:
        return None
    between = float(np.square(np.array(means) - 0.5).mean() - np.mean(explained))
    return max(0.0, between), len(means)


def _numpy_labels(labels: Tensor) -> Ints:
    return labels.detach().cpu().numpy().astype(np.int64)


def _flat(inputs: Tensor, rows: Ints) -> Tensor:
    """(n, features) float64 on the CPU."""
    chosen = inputs[torch.from_numpy(rows).to(inputs.device)].float()
    if chosen.ndim == 4 and max(chosen.shape[-2:]) > LARGEST_SIDE:
        chosen = torch.nn.functional.adaptive_avg_pool2d(chosen, LARGEST_SIDE)
    return chosen.flatten(1).cpu().double()


def _permuted_aucs(
    inputs: Floats,
    labels: Ints,
    member: np.ndarray[tuple[int], np.dtype[np.bool_]],
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
    member: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
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
