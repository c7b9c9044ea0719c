"""Re-checks of cases that were completed: has a later version brought samples back?

A new version of a model can bring forgotten samples back, by training on other data alone. Cases
are re-checked only when there is a new version: first all of them together, one test per model, and
only if that raises an alarm each case on its own. K cases, n forget samples in a case; every figure
is a paired change of V, the percentile of a forget sample among unseen ones of its class
(`conditional.percentiles`), from the version that the case rests on to the new one.

Plain relapse moves the AUC by about +.2; fine-tuning on D_r alone by about +.05 for everybody.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workers.unlearning.conditional import (
    UNIFORM_VARIANCE,
    ClassPlaces,
    Floats,
    Percentiles,
    paired_change,
)
from workers.unlearning.distributions import benjamini_hochberg, t_quantile, t_upper_tail
from workers.unlearning.errors import EmptySet, UnlearningError

POOLED_CONFIDENCE = 0.99
POOLED_MARGIN = 0.03
FALSE_DISCOVERY = 0.05
CASE_MARGIN = 0.10


class InvalidLevel(UnlearningError):
    """A change or a standard error that no test can work with."""


@dataclass(frozen=True)
class Change:
    """Paired change of the mean of V of one case; positive: better known than before.

    Its error comes from the case's own samples and from the unseen ones, which cases share.
    """

    difference: float
    own_error: float
    unseen_error: float
    samples: int

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (self.difference, self.own_error, self.unseen_error)))
        if not finite or min(self.own_error, self.unseen_error) < 0.0 or not self.standard_error:
            raise InvalidLevel("a change must be finite and its standard error positive")
        if self.samples < 1:
            raise InvalidLevel("a change is that of at least 1 sample")

    @property
    def standard_error(self) -> float:
        return math.hypot(self.own_error, self.unseen_error)


@dataclass(frozen=True)
class PooledAlarm:
    difference: float  # mean over all samples of all cases
    standard_error: float
    lower_99: float  # one-sided 99 % lower confidence bound
    alarm: bool


@dataclass(frozen=True)
class CaseAlarm:
    difference: float
    p_value: float  # one-sided: did V rise
    q: float  # Benjamini-Hochberg over the cases
    alarm: bool


def change(places: ClassPlaces, resting: Percentiles, now: Percentiles) -> Change:
    """Of one case, both versions asked about the same forget and unseen rows."""
    difference, error = paired_change(places, resting, now)
    moved = now.forget - resting.forget
    # One sample has no variance of its own: that of a uniform percentile stands in.
    variance = float(np.var(moved, ddof=1)) if len(moved) > 1 else UNIFORM_VARIANCE
    own = min(error, math.sqrt(variance / len(moved)))
    return Change(difference, own, math.sqrt(error**2 - own**2), len(moved))


def pooled_alarm(changes: Sequence[Change]) -> PooledAlarm:
    """One test per model and version: has the mean V of all cases risen by more than .03?

    w_k = n_k / n. Errors of the cases' own samples are independent; those of the unseen rows,
    shared by all cases, are taken as if they moved together:
    SE^2 = sum w_k^2 own_k^2 + (sum w_k unseen_k)^2; Student's t with n - 1 degrees.
    """
    if not changes:
        raise EmptySet("re-checked")
    samples = np.array([case.samples for case in changes], np.float64)
    weights = samples / samples.sum()
    difference = float(weights @ [case.difference for case in changes])
    own = np.linalg.norm(weights * [case.own_error for case in changes])
    shared = weights @ [case.unseen_error for case in changes]
    error = math.hypot(float(own), float(shared))
    degrees = max(1, int(samples.sum()) - 1)
    lower = difference - t_quantile(1.0 - POOLED_CONFIDENCE, degrees) * error
    return PooledAlarm(difference, error, lower, lower > POOLED_MARGIN)


def case_alarms(changes: Sequence[Change]) -> list[CaseAlarm]:
    """After a pooled alarm: which cases? Those with q <= .05 and a change of at least +.10.

    p by Student's t with n - 1 degrees: with the normal tail, cases of a dozen samples that had not
    changed were named twice as often as q says.
    """
    if not changes:
        return []
    p_values: Floats = np.array(
        [
            t_upper_tail(case.difference / case.standard_error, max(1, case.samples - 1))
            for case in changes
        ]
    )
    return [
        CaseAlarm(
            case.difference,
            float(p),
            float(q),
            bool(q <= FALSE_DISCOVERY and case.difference >= CASE_MARGIN),
        )
        for case, p, q in zip(changes, p_values, benjamini_hochberg(p_values), strict=True)
    ]


def recheck(changes: Sequence[Change]) -> tuple[PooledAlarm, list[CaseAlarm]]:
    """The pooled test, and the cases only if it raises an alarm (else an empty list)."""
    pooled = pooled_alarm(changes)
    return pooled, case_alarms(changes) if pooled.alarm else []
