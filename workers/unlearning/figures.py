"""From scores and rows to the figures of a report, each with its uncertainty."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.unlearning import conditional, distributions
from workers.unlearning.band import BandSets, advantage_of, band_p_value
from workers.unlearning.conditional import ClassPlaces, Floats, Ints, Percentiles
from workers.unlearning.report import (
    RUNGS,
    Accuracy,
    AucFigures,
    BandFigures,
    Interval,
    PairedChange,
    PersonFigures,
    Utility,
)

Logits = NDArray[np.floating[Any]]

LEVEL = 0.05  # one-sided; two of them make the 90 % interval
# Power .8 of two one-sided tests at LEVEL: 1.645 + 1.282, in standard errors.
PLANNING_FACTOR = 2.93
PERSON_FALSE_DISCOVERY = 0.05
PERSON_DEVIATION = 0.20


def provable_margin(places: ClassPlaces, person_variance: float = 0.0) -> float:
    """delta_plan: the margin around .5 that sets of these sizes can prove, given what differences
    between persons add to SE^2."""
    return PLANNING_FACTOR * math.hypot(
        conditional.smallest_error(places), math.sqrt(person_variance)
    )


def auc_figures(
    places: ClassPlaces,
    shares: Percentiles,
    person_variance: float = 0.0,
    degrees: int | None = None,
) -> AucFigures:
    """`person_variance` is what differences between persons add to SE^2."""
    auc = float(shares.forget.mean())
    error = math.hypot(conditional.standard_error(places, shares), math.sqrt(person_variance))
    freedom = max(1, places.forget_size - 1 if degrees is None else degrees)
    by_rung = [_interval(auc, error, LEVEL / 2**rung, freedom) for rung in range(RUNGS)]
    low, high = by_rung[0]
    return AucFigures(
        auc=auc,
        se=error,
        interval_90=by_rung[0],
        interval_by_rung=by_rung,
        p_two_sided=_two_sided(auc - 0.5, error, freedom),
        margin_proved=max(0.5 - low, high - 0.5),
    )


def _two_sided(deviation: float, error: float, degrees: int) -> float:
    if error == 0.0:  # every forget sample at the same end of every unseen one
        return 0.0 if deviation else 1.0
    return min(1.0, 2.0 * distributions.t_upper_tail(abs(deviation) / error, degrees))


def _interval(centre: float, error: float, level: float, degrees: int) -> Interval:
    half = distributions.t_quantile(level, degrees) * error
    return max(0.0, centre - half), min(1.0, centre + half)


def change_figures(places: ClassPlaces, before: Percentiles, after: Percentiles) -> PairedChange:
    difference, error = conditional.paired_change(places, before, after)
    half = distributions.NORMAL.inv_cdf(0.995) * error
    return PairedChange(
        difference,
        error,
        difference / error,
        (max(-1.0, difference - half), min(1.0, difference + half)),
    )


def band_figures(sets: BandSets, *, seed: int, draws: int) -> BandFigures:
    band = advantage_of(sets, seed)
    upper = [
        min(1.0, band.advantage + distributions.NORMAL.inv_cdf(1 - LEVEL / 2**rung) * error)
        for rung in range(RUNGS)
        for error in [band.standard_error]
    ]
    return BandFigures(
        advantage=band.advantage,
        true_positive_rate=band.true_positive_rate,
        false_positive_rate=band.false_positive_rate,
        se=band.standard_error,
        upper_95=upper[0],
        upper_by_rung=upper,
        p_value=band_p_value(sets, seed, draws),
    )


def accuracy_figures(logits: Logits, labels: Ints) -> Accuracy:
    hits = int((logits.argmax(axis=1) == labels).sum())
    low, high = distributions.wilson_interval(hits, len(labels))
    return Accuracy(hits / len(labels), low, high, len(labels))


def utility_figures(
    before: Logits, after: Logits, labels: Ints, left_out: NDArray[np.bool_]
) -> Utility | None:
    """(N, C) logits of both models on the same unseen rows. None if no row is left."""
    kept = ~left_out
    n = int(kept.sum())
    if not n:
        return None
    was = (before.argmax(axis=1) == labels)[kept]
    now = (after.argmax(axis=1) == labels)[kept]
    lost, gained = int((was & ~now).sum()), int((~was & now).sum())
    low, high = distributions.paired_difference_interval(lost, gained, n)
    return Utility((lost - gained) / n, low, high, n, int(left_out.sum()))


def person_figures(
    persons: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    kept_labels: Ints,
    unseen_labels: Ints,
    shares: tuple[Floats, Floats],
    *,
    between_persons: float,
) -> list[PersonFigures]:
    """`persons` (P, n_f) and `kept` (n_f,) run over all forget rows; labels and `shares` (before,
    after) over the kept."""
    own = [np.flatnonzero(of_person) for of_person in persons[:, kept]]
    errors: dict[int, float] = {}
    for person, rows in enumerate(own):
        if len(rows):
            places = conditional.class_places(kept_labels[rows], unseen_labels)
            errors[person] = math.hypot(
                conditional.smallest_error(places), math.sqrt(between_persons)
            )
    before, after = (
        {person: float(side[own[person]].mean()) for person in errors} for side in shares
    )
    p_values = [distributions.normal_two_sided((after[j] - 0.5) / errors[j]) for j in errors]
    q_values = distributions.benjamini_hochberg(np.array(p_values))
    q = dict(zip(errors, q_values.tolist(), strict=True))
    spread = distributions.NORMAL.inv_cdf(0.975)
    return [
        PersonFigures(
            person=person,
            n=len(rows),
            excluded=int(persons[person, ~kept].sum()),
            mean_before=before.get(person),
            mean_after=after.get(person),
            range_low=max(0.0, 0.5 - spread * errors[person]) if person in errors else None,
            range_high=min(1.0, 0.5 + spread * errors[person]) if person in errors else None,
            q=q.get(person),
            flagged=person in q
            and q[person] <= PERSON_FALSE_DISCOVERY
            and abs(after[person] - 0.5) > PERSON_DEVIATION,
        )
        for person, rows in enumerate(own)
    ]
