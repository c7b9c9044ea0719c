"""The tests that need a null distribution: Kuiper, band, learned attack, same-model RF-JSD."""

from dataclasses import dataclass

import numpy as np

from workers.unlearning import attacks, band
from workers.unlearning.comparison import Comparison, ScoredSet, Side
from workers.unlearning.conditional import Ints
from workers.unlearning.figures import band_figures
from workers.unlearning.metrics import rf_jsd
from workers.unlearning.permutation import PermutationTest, same_model_test
from workers.unlearning.report import (
    BandFigures,
    BeforeAfter,
    LearnedAttack,
    RfJsdFigures,
    SameModel,
    Statistic,
)

# Kuiper is one of four corrected tests, and each of four retries halves the level: its p-value must
# reach .01 / 64, and is then a whole number of draws at every level.
KUIPER_FACTOR = 8
TOO_REGULAR = 0.005
SAW_BEFORE = 0.01


@dataclass(frozen=True)
class Draws:
    """Randomness of one verification; `reasons` collects why a figure is missing."""

    seed: int
    permutations: int
    reasons: dict[str, str]


def kuiper_test(comparison: Comparison, draws: Draws) -> BeforeAfter[Statistic]:
    places = comparison.places

    def one(side: Side) -> Statistic:
        value = band.kuiper(places, side.forget.scores["phi"], side.test.scores["phi"], draws.seed)
        count = KUIPER_FACTOR * (draws.permutations + 1) - 1
        return Statistic(value, band.kuiper_p_value(value, places, draws.seed, count), count)

    return BeforeAfter(one(comparison.before), one(comparison.after))


def band_test(comparison: Comparison, score: str, draws: Draws) -> BeforeAfter[BandFigures] | None:
    name = "band" if score == "phi" else f"{score}_attack"
    if comparison.places.forget_size < band.SMALLEST_FORGET_SET:
        draws.reasons[name] = f"needs {band.SMALLEST_FORGET_SET} forget samples"
        return None
    if any(score not in part.scores for side in comparison.sides for part in _read(side)):
        draws.reasons[name] = "the perturbed inputs were not observed"
        return None

    def one(side: Side) -> BandFigures:
        sets = band.band_sets(
            side.forget.scores[score],
            side.forget.labels,
            side.test.scores[score],
            side.test.labels,
            seed=draws.seed,
            choosing_scores=side.validation.scores.get(score),
            choosing_labels=side.validation.labels,
        )
        return band_figures(sets, seed=draws.seed, draws=draws.permutations)

    return BeforeAfter(one(comparison.before), one(comparison.after))


def _read(side: Side) -> list[ScoredSet]:
    return [part for part in (side.forget, side.validation, side.test) if len(part.labels)]


def learned_test(comparison: Comparison, draws: Draws) -> BeforeAfter[LearnedAttack] | None:
    if comparison.places.forget_size < attacks.SMALLEST_FORGET_SET:
        draws.reasons["learned_attack"] = f"needs {attacks.SMALLEST_FORGET_SET} forget samples"
        return None

    def one(side: Side) -> LearnedAttack:
        auc, p_value = attacks.learned_attack(
            comparison.places,
            side.forget.features,
            side.test.features,
            seed=draws.seed,
            draws=draws.permutations,
        )
        return LearnedAttack(auc, p_value)

    result = BeforeAfter(one(comparison.before), one(comparison.after))
    if result.after.p_value is None:
        draws.reasons["learned_attack.p_value"] = "too few unseen samples to draw from"
    return result


def same_model_tests(comparison: Comparison, draws: Draws) -> BeforeAfter[PermutationTest]:
    def one(side: Side) -> PermutationTest:
        return same_model_test(
            comparison.places,
            comparison.classes,
            side.forget.probs,
            side.test.probs,
            seed=draws.seed,
            permutations=draws.permutations,
        )

    return BeforeAfter(one(comparison.before), one(comparison.after))


def rf_jsd_test(
    comparison: Comparison,
    same: BeforeAfter[PermutationTest],
    draws: Draws,
    whole_classes: Ints,
) -> RfJsdFigures:
    before, after = comparison.before, comparison.after
    num_classes = before.test.probs.shape[1]

    def paper(forget: ScoredSet) -> tuple[float, float, dict[int, float]]:
        found = rf_jsd(
            forget.probs, forget.labels, before.test.probs, before.test.labels, num_classes
        )
        return found.value, found.released_scale, found.per_class

    value, released, per_class = paper(after.forget)
    value_before, released_before, _ = paper(before.forget)
    valid = not np.isin(comparison.classes, whole_classes).any()
    if not valid:
        draws.reasons["rf_jsd.value"] = "a whole class is forgotten: a perfect result is not near 0"
    return RfJsdFigures(
        value=value,
        released_scale=released,
        before=value_before,
        before_released_scale=released_before,
        drift=_drift(comparison, num_classes, draws),
        per_class={str(label): figure for label, figure in per_class.items()},
        paper_value_valid=bool(valid),
        same_before=_same(same.before),
        same_after=_same(same.after),
        too_regular=same.after.p_low <= TOO_REGULAR,
        saw_before=same.before.p_up <= SAW_BEFORE,
    )


def _drift(comparison: Comparison, num_classes: int, draws: Draws) -> float | None:
    """The paper's value for samples that neither model was trained on."""
    validation, test = comparison.after.validation, comparison.before.test
    rows = np.isin(validation.labels, comparison.classes)
    if not rows.any():
        draws.reasons["rf_jsd.drift"] = "no validation samples of the forget set's classes"
        return None
    return rf_jsd(
        validation.probs[rows], validation.labels[rows], test.probs, test.labels, num_classes
    ).value


def _same(test: PermutationTest) -> SameModel:
    return SameModel(
        value=test.value,
        p_up=test.p_up,
        p_low=test.p_low,
        p_two_sided=test.p_two_sided,
        permutations=test.permutations,
        worst_class=test.worst_class,
        worst_class_p=test.worst_class_p,
    )
