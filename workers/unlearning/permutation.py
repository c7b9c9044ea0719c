"""Same-model RF-JSD, tested by permuting who is forget and who is unseen within each class.

With the same model on both sides the two sets are exchangeable when unlearning was perfect, so
the permutation p-value is exact at every size. N samples, C classes, B permutations.
"""

from dataclasses import dataclass, field

import numpy as np

from workers.unlearning.conditional import ClassPlaces, Floats

# Two permutations that put equal rows on the same side differ by rounding only.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PermutationTest:
    value: float  # nats
    above: int  # permuted values larger than the observed one
    ties: int  # equal to it within rounding
    permutations: int
    worst_class: int  # label with the largest standardised value
    worst_class_p: float  # against the null of the maximum over classes
    draws: Floats = field(repr=False, compare=False)  # (B,) permuted values, nats

    @property
    def p_up(self) -> float:
        return (1 + self.above + self.ties) / (self.permutations + 1)

    @property
    def p_low(self) -> float:
        return (1 + self.permutations - self.above) / (self.permutations + 1)

    @property
    def p_two_sided(self) -> float:
        return min(1.0, 2.0 * min(self.p_up, self.p_low))


def same_model_test(
    places: ClassPlaces,
    classes: list[int],
    forget_probs: Floats,
    unseen_probs: Floats,
    *,
    seed: int,
    permutations: int,
) -> PermutationTest:
    """(n_f, C), (n_u, C) softmax outputs of one model; `classes` are the labels of `places`."""
    rng = np.random.default_rng([seed, 6])
    observed, permuted = [], []
    for of_forget, of_unseen in zip(places.forget, places.unseen, strict=True):
        pooled = np.concatenate([forget_probs[of_forget], unseen_probs[of_unseen]])
        member = np.zeros((1, len(pooled)))
        member[0, : len(of_forget)] = 1.0
        shuffled = rng.permuted(np.repeat(member, permutations, axis=0), axis=1)
        observed.append(_divergences(member, pooled)[0])
        # A class of a few rows has fewer memberships than draws: each is computed once.
        distinct, which = np.unique(shuffled, axis=0, return_inverse=True)
        permuted.append(_divergences(distinct, pooled)[which.ravel()])
    by_class, null = np.array(observed), np.stack(permuted)
    value, draws = float(by_class.mean()), null.mean(axis=0)
    margin = _ROUNDING * max(1.0, value)
    worst, worst_p = _worst_class(by_class, null)
    return PermutationTest(
        value=value,
        above=int((draws > value + margin).sum()),
        ties=int((np.abs(draws - value) <= margin).sum()),
        permutations=permutations,
        worst_class=classes[worst],
        worst_class_p=worst_p,
        draws=draws,
    )


def _divergences(member: Floats, probs: Floats) -> Floats:
    """(B, n) 0/1 membership, (n, C) -> (B,) JSD between the two mean predictions."""
    sizes = member.sum(axis=1, keepdims=True)
    inside = member @ probs
    p = inside / sizes
    q = np.maximum(probs.sum(axis=0) - inside, 0.0) / (probs.shape[0] - sizes)
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    middle = (p + q) / 2
    total = _plogp(p) / 2 + _plogp(q) / 2 - _plogp(middle)
    result: Floats = np.maximum(total.sum(axis=1), 0.0)
    return result


def _plogp(p: Floats) -> Floats:
    result: Floats = p * np.log(np.maximum(p, 1e-300))
    return result


def _worst_class(observed: Floats, null: Floats) -> tuple[int, float]:
    """(K,), (K, B) -> place of the worst class and its p-value against the maximum over classes."""
    centre, spread = null.mean(axis=1), null.std(axis=1)
    scale = np.where(spread > _ROUNDING, spread, 1.0)
    standardised = (observed - centre) / scale
    maximum = ((null - centre[:, None]) / scale[:, None]).max(axis=0)
    exceeding = int((maximum >= standardised.max() - 1e-9).sum())
    return int(standardised.argmax()), (1 + exceeding) / (null.shape[1] + 1)
