"""Did the model unlearn? Everything that the cached outputs of both models can say.

`verify` reads two observations (original and unlearned model, the same rows) and gives a report
without a verdict: what counts as enough is the policy of whoever publishes the model. n_f forget
and n_u unseen samples, C classes. Float64 from the logits on.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.unlearning import comparison as comparing
from workers.unlearning import figures, plots
from workers.unlearning.comparison import SETS, STABILITY, Comparison, Side
from workers.unlearning.conditional import Ints
from workers.unlearning.errors import ShapeMismatch, UnlearningError
from workers.unlearning.evaluation import Observation
from workers.unlearning.hypothesis_tests import (
    Draws,
    band_test,
    kuiper_test,
    learned_test,
    rf_jsd_test,
    same_model_tests,
)
from workers.unlearning.metrics import membership_inference
from workers.unlearning.persons import person_variance
from workers.unlearning.reference import ReferenceCheck, reference_check
from workers.unlearning.report import (
    AucFigures,
    BeforeAfter,
    PaperAttack,
    PersonFigures,
    PersonNull,
    Report,
    ScoreFigures,
    Sizes,
)
from workers.unlearning.scores import SCORES, softmax

__all__ = ["Report", "reference_check", "verify"]

PERMUTATIONS = 999
Memberships = NDArray[np.bool_]  # (P, n_f)


class TooFewDraws(UnlearningError):
    def __init__(self, draws: int) -> None:
        super().__init__(f"{draws} permutations: a p-value needs at least 1")


REFERENCE_AUC, REFERENCE_P = 0.60, 0.01


def verify(
    before: Observation,
    after: Observation,
    *,
    seed: int,
    permutations: int = PERMUTATIONS,
    persons: NDArray[Any] | None = None,
    unseen_persons: NDArray[Any] | None = None,
    reference: ReferenceCheck | None = None,
    reference_auc: float = REFERENCE_AUC,
    reference_p: float = REFERENCE_P,
    whole_classes: NDArray[Any] | None = None,
) -> Report:
    """Pure: the same observations and seed give the same report.

    persons         (P, n_f) bool: which forget rows belong to which person, each to one or more;
                    or (n_f,) index of the one person that each belongs to
    unseen_persons  (n_test,) index of each test row's person, -1 where unknown
    reference       what `reference_check` found on the inputs; with `reference_auc` and
                    `reference_p` it decides whether differences between persons are allowed for.
                    Samples that look like strangers' need no such allowance, and the estimate is
                    so coarse that it would hide what a model still knows. Inputs that are more
                    unusual than any unseen person's get none: nothing shows what to expect of them.
                    Without a check they are allowed for wherever the unseen persons are known.
    whole_classes   (K,) classes of which D_f holds every training sample; utility leaves them out.
                    By default those that no retain row has, which is wrong for classes that a
                    sample of the retain set merely happens to miss.
    """
    comparing.check(before, after)
    if permutations < 1:
        raise TooFewDraws(permutations)
    owners = None if persons is None else _memberships(persons, len(before.forget))
    strangers = _strangers(unseen_persons, len(before.test))
    reasons: dict[str, str] = {}
    whole = np.setdiff1d(before.forget.labels, before.retain.labels)
    if whole_classes is not None:
        whole = np.intersect1d(np.asarray(whole_classes).astype(np.int64), before.forget.labels)
    comparison = comparing.compare(before, after)
    scores, null, between = None, None, 0.0
    people: list[PersonFigures] = []
    kuiper_figures = band = learned = stability = rf_jsd_figures = None
    if comparison is None:
        reasons["all"] = "no class of the forget set has unseen samples"
        drawn = plots.nothing(reasons["all"])
    else:
        draws = Draws(seed, permutations, reasons)
        why_not = _no_allowance(reference, reference_auc, reference_p)
        null = None if why_not else _person_null(comparison, strangers)
        if why_not or (null is None and strangers is not None):
            reasons["person_null"] = why_not or "too few unseen persons with comparable samples"
        concentration = _concentration(comparison, owners)
        scores = _scores(comparison, null, concentration)
        between = concentration * max(null.variance_after.values()) if null else 0.0
        kuiper_figures = kuiper_test(comparison, draws)
        band = band_test(comparison, "phi", draws)
        stability = band_test(comparison, STABILITY, draws)
        learned = learned_test(comparison, draws)
        same = same_model_tests(comparison, draws)
        rf_jsd_figures = rf_jsd_test(comparison, same, draws, whole)
        drawn = plots.plots_of(comparison, scores, same)
        if owners is not None:
            people = _people(comparison, owners, null)
    utility = figures.utility_figures(
        before.test.logits,
        after.test.logits,
        before.test.labels,
        np.isin(before.test.labels, whole),
    )
    if utility is None:
        reasons["utility"] = "every unseen sample is of a class that was forgotten as a whole"
    return Report(
        sizes=_sizes(before, comparison, between),
        rf_jsd=rf_jsd_figures,
        scores=scores,
        kuiper=kuiper_figures,
        band=band,
        learned_attack=learned,
        stability_attack=stability,
        reference=reference,
        person_null=null,
        accuracy={
            name: BeforeAfter(*(figures.accuracy_figures(s.logits, s.labels) for s in pair))
            for name in SETS
            for pair in [(getattr(before, name), getattr(after, name))]
            if len(pair[0])
        },
        utility=utility,
        membership_inference=BeforeAfter(_paper_attack(before), _paper_attack(after)),
        persons=people,
        plots=drawn,
        seed=seed,
        permutations=permutations,
        reasons=reasons,
    )


def _sizes(before: Observation, comparison: Comparison | None, between: float) -> Sizes:
    labels = before.forget.labels
    places = comparison.places if comparison else None
    excluded = labels[~comparison.kept] if comparison else labels
    return Sizes(
        n_f=len(labels) - len(excluded),
        n_u=sum(n_unseen for _, n_unseen in places.counts) if places else 0,
        n_test=len(before.test),
        n_val=len(before.validation),
        n_retain=len(before.retain),
        n_eff=places.effective_unseen() if places else None,
        excluded=len(excluded),
        excluded_classes=np.unique(excluded).tolist(),
        delta_plan=figures.provable_margin(places, between) if places else None,
    )


def _no_allowance(reference: ReferenceCheck | None, auc: float, p_value: float) -> str | None:
    """Why differences between persons are not allowed for, if they are not."""
    if reference is None or reference.auc is None:
        return None
    if not reference.fires(auc, p_value):
        return "the inputs do not differ from those of unseen persons"
    if reference.unusual():
        return "the inputs are more unusual than those of unseen persons"
    return None


def _person_null(comparison: Comparison, strangers: Ints | None) -> PersonNull | None:
    """How much a never-trained person's mean percentile varies, where unseen rows name theirs."""
    if strangers is None:
        return None
    found = [
        {
            name: person_variance(side.test.scores[name], side.test.labels, strangers)
            for name in SCORES
        }
        for side in comparison.sides
    ]
    variances = [
        {name: pair[0] for name, pair in side.items() if pair is not None} for side in found
    ]
    counts = [pair[1] for side in found for pair in side.values() if pair is not None]
    return PersonNull(min(counts), variances[0], variances[1]) if counts else None


def _concentration(comparison: Comparison, owners: Memberships | None) -> float:
    """sum_j (n_j / n_f)^2: times tau^2 it joins SE^2, for samples of a person are not independent.

    1 for a single person, 1/P for P persons with as many samples each.
    """
    if owners is None:
        return 1.0
    of_kept = owners[:, comparison.kept]
    # A sample of several persons counts for each of them in equal parts.
    shares = (of_kept / of_kept.sum(axis=0)).sum(axis=1) / comparison.places.forget_size
    return float(np.square(shares).sum())


def _scores(
    comparison: Comparison, null: PersonNull | None, concentration: float
) -> dict[str, ScoreFigures]:
    places = comparison.places
    degrees = min(places.forget_size, null.persons) - 1 if null else None

    def one(side: Side, name: str, variances: dict[str, float] | None) -> AucFigures:
        extra = concentration * variances[name] if variances else 0.0
        return figures.auc_figures(places, side.shares[name], extra, degrees)

    return {
        name: ScoreFigures(
            one(comparison.before, name, null.variance_before if null else None),
            one(comparison.after, name, null.variance_after if null else None),
            figures.change_figures(
                places, comparison.before.shares[name], comparison.after.shares[name]
            ),
        )
        for name in SCORES
    }


def _people(
    comparison: Comparison, owners: Memberships, null: PersonNull | None
) -> list[PersonFigures]:
    return figures.person_figures(
        owners,
        comparison.kept,
        comparison.after.forget.labels,
        comparison.after.test.labels,
        (comparison.before.shares["phi"].forget, comparison.after.shares["phi"].forget),
        between_persons=null.variance_after["phi"] if null else 0.0,
    )


def _memberships(persons: NDArray[Any], rows: int) -> Memberships:
    given = np.asarray(persons)
    if given.ndim == 1 and len(given):
        given = np.arange(int(given.max()) + 1)[:, None] == given
    if given.ndim != 2 or given.shape[1] != rows or not given.any(axis=0).all():
        raise ShapeMismatch("persons and rows, each of at least one person", given.shape, (rows,))
    members: Memberships = given.astype(np.bool_)
    return members


def _strangers(persons: NDArray[Any] | None, rows: int) -> Ints | None:
    if persons is None:
        return None
    numbers = np.asarray(persons).astype(np.int64)
    if numbers.shape != (rows,):
        raise ShapeMismatch("unseen persons and rows", numbers.shape, (rows,))
    return numbers


def _paper_attack(observation: Observation) -> PaperAttack:
    attack = membership_inference(
        *(
            softmax(subset.logits.astype(np.float64))
            for subset in (observation.retain, observation.test, observation.forget)
        )
    )
    return PaperAttack(attack.member_fraction, attack.auc)
