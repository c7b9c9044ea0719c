"""The ordered rule, clause by clause, on reports written by hand."""

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from app.erasure.verdict import Verdict, VerdictName, VerificationPolicy, judge
from app.erasure.verdict_clauses import Case

POLICY = VerificationPolicy()
FORBIDDEN = ("erased", "forgotten", "compliant", "equivalent to retraining")


def auc(value: float, half: float = 0.05, p: float | None = None) -> dict[str, Any]:
    """Figures of one AUC whose interval widens by .01 with every rung."""
    by_rung = [[value - half - r / 100, value + half + r / 100] for r in range(5)]
    return {
        "auc": value,
        "se": half / 1.645,
        "interval_90": by_rung[0],
        "interval_by_rung": by_rung,
        "p_two_sided": p if p is not None else (0.5 if abs(value - 0.5) < 0.1 else 1e-6),
        "margin_proved": abs(value - 0.5) + half,
    }


def score(
    before: float, after: float, half: float = 0.05, z: float | None = None
) -> dict[str, Any]:
    return {
        "before": auc(before, half),
        "after": auc(after, half),
        "change": {"z": (after - before) / 0.04 if z is None else z, "se": 0.04},
    }


def band(advantage: float, se: float = 0.04, p: float = 0.5) -> dict[str, Any]:
    return {"advantage": advantage, "se": se, "p_value": p}


def clean() -> dict[str, Any]:
    """100 samples, nothing tells them apart any more, utility held."""
    return {
        "sizes": {"n_f": 100, "excluded": 0, "delta_plan": 0.09},
        "scores": {name: score(0.75, 0.51) for name in ("phi", "margin", "neg_entropy")},
        "kuiper": {"before": {"p_value": 1e-4}, "after": {"p_value": 0.4, "draws": 7999}},
        "band": {"before": band(0.4, p=0.001), "after": band(0.02)},
        "learned_attack": {"before": {"auc": 0.8, "p_value": 0.001}, "after": {"p_value": 0.3}},
        "stability_attack": {"before": band(0.4, p=0.001), "after": band(0.01, p=0.6)},
        "reference": None,
        "person_null": None,
        "utility": {"fall": 0.004, "low": -0.01, "high": 0.018},
        "permutations": 999,
    }


def changed(**paths: Any) -> dict[str, Any]:
    """`clean()` with values replaced; keys are dotted paths with __ for the dot."""
    report = copy.deepcopy(clean())
    for path, value in paths.items():
        *parents, last = path.split("__")
        inner = report
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    return report


def every_score(**figures: Any) -> dict[str, Any]:
    return {name: score(**figures) for name in ("phi", "margin", "neg_entropy")}


def verdict(report: dict[str, Any], **settings: Any) -> Verdict:
    found = judge(report, POLICY, **settings)
    for text in (found.sentence, *found.reasons):
        assert not any(word in text.lower() for word in FORBIDDEN), text
    return found


# --- 1. no valid reference


def test_many_samples_without_unseen_counterparts_give_no_valid_reference() -> None:
    found = verdict(changed(sizes__excluded=12))  # 12 of 112
    assert found.name is VerdictName.NO_VALID_REFERENCE
    assert found.sentence.startswith("12 of these 112 samples")
    assert (found.publish, found.outcome) == (True, "unlearned_not_testable")


def test_a_tenth_without_unseen_counterparts_is_still_allowed() -> None:
    report = changed(sizes__n_f=90, sizes__excluded=10)
    assert verdict(report).name is VerdictName.WITHIN_MARGIN


def test_nothing_comparable_is_not_published_because_growth_cannot_be_excluded() -> None:
    report = changed(sizes__n_f=0, sizes__excluded=9, sizes__delta_plan=None, scores=None)
    report |= {key: None for key in ("kuiper", "band", "learned_attack", "stability_attack")}
    found = verdict(report)
    assert found.name is VerdictName.NO_VALID_REFERENCE
    assert (found.publish, found.outcome, found.tells_apart) == (False, None, [])


def test_inputs_that_differ_give_no_valid_reference() -> None:
    found = verdict(changed(reference={"auc": 0.60, "p_value": 0.01}))
    assert found.name is VerdictName.NO_VALID_REFERENCE
    assert "by their inputs" in found.sentence


@pytest.mark.parametrize(
    "reference",
    [
        {"auc": 0.59, "p_value": 0.001},
        {"auc": 0.70, "p_value": 0.02},
        {"auc": None, "p_value": None},
    ],
)
def test_the_reference_check_needs_both_size_and_significance(reference: dict[str, Any]) -> None:
    assert verdict(changed(reference=reference)).name is VerdictName.WITHIN_MARGIN


def test_a_person_level_null_makes_up_for_inputs_that_differ() -> None:
    report = changed(reference={"auc": 0.9, "p_value": 0.001}, person_null={"persons": 20})
    assert verdict(report).name is VerdictName.WITHIN_MARGIN


# --- 2. within the margin


def test_all_intervals_and_the_band_inside_their_margins_are_within() -> None:
    found = verdict(clean())
    assert found.name is VerdictName.WITHIN_MARGIN
    assert found.sentence == (
        "No attack tried told these 100 samples from unseen ones by more than the margins: "
        "0.10 for deviations of the attack AUC from 0.5, 0.15 for the band advantage."
    )
    assert (found.publish, found.outcome, found.tells_apart) == (True, "unlearned", [])


@pytest.mark.parametrize("name", ["phi", "margin", "neg_entropy"])
@pytest.mark.parametrize("value", [0.44, 0.56])
def test_one_interval_across_the_margin_is_not_within(name: str, value: float) -> None:
    found = verdict(changed(**{f"scores__{name}__after": auc(value)}))
    assert found.name is VerdictName.NOT_SHOWN
    assert "crosses the margin 0.10" in found.sentence
    assert found.sentence.startswith("Enough samples, but")
    assert (found.publish, found.outcome) == (True, "unlearned")


def test_a_band_whose_bound_passes_its_margin_is_not_within() -> None:
    # .09 + 1.645 * .04 = .156 > .15, while .08 + 1.645 * .04 = .146.
    assert verdict(changed(band__after=band(0.09))).name is VerdictName.NOT_SHOWN
    assert verdict(changed(band__after=band(0.08))).name is VerdictName.WITHIN_MARGIN


def test_too_few_samples_for_the_band_are_never_within() -> None:
    found = verdict(changed(sizes__n_f=19))
    assert found.name is VerdictName.NOT_SHOWN
    assert "needs 20 samples, not 19" in found.sentence
    assert verdict(changed(sizes__n_f=20)).name is VerdictName.WITHIN_MARGIN


@pytest.mark.parametrize("attack", ["learned_attack", "stability_attack"])
def test_an_unread_attack_that_still_works_is_not_within(attack: str) -> None:
    found = verdict(changed(**{f"{attack}__after__p_value": 0.01}))
    assert found.name is VerdictName.NOT_SHOWN
    assert "still tells the samples from unseen ones" in found.sentence
    assert found.tells_apart == [attack]
    assert verdict(changed(**{f"{attack}__after__p_value": 0.011})).tells_apart == []


def test_attacks_that_could_not_run_do_not_stand_in_the_way() -> None:
    report = changed(learned_attack__after__p_value=None, stability_attack=None)
    assert verdict(report).name is VerdictName.WITHIN_MARGIN


# --- 3. reduced, over-unlearned, distinguishable


def test_a_signal_that_fell_by_half_is_reduced_and_names_what_is_left() -> None:
    found = verdict(changed(scores=every_score(before=0.85, after=0.62)))
    assert found.name is VerdictName.REDUCED
    assert "fell from AUC 0.85 to 0.62" in found.sentence
    assert "still tell the samples from unseen ones" in found.sentence
    assert found.tells_apart == ["phi", "margin", "neg_entropy"]
    assert (found.publish, found.outcome) == (True, "unlearned")


def test_a_band_with_a_significant_distribution_test_is_reduced_when_the_auc_fell() -> None:
    report = changed(band__after=band(0.21, p=0.001), kuiper__after__p_value=0.0002)
    found = verdict(report)
    assert found.name is VerdictName.REDUCED
    assert found.tells_apart == ["kuiper", "band"]


@pytest.mark.parametrize(
    ("after", "name"), [(0.30, VerdictName.REDUCED), (0.31, VerdictName.DISTINGUISHABLE)]
)
def test_a_band_that_hardly_fell_is_not_reduced_whatever_the_auc_did(
    after: float, name: VerdictName
) -> None:
    # .75 of the .4 before.
    report = changed(band__after=band(after, p=0.001), kuiper__after__p_value=0.0002)
    assert verdict(report).name is name
    below = report | {"scores": every_score(before=0.75, after=0.45)}
    over = VerdictName.OVER_UNLEARNED if name is VerdictName.DISTINGUISHABLE else name
    assert verdict(below).name is over
    if name is not VerdictName.REDUCED:
        assert verdict(below).sentence.endswith("band advantage 0.40 before, 0.31 after.")


def test_a_band_within_its_margin_need_not_have_fallen() -> None:
    scores = every_score(before=0.85, after=0.62)
    report = changed(scores=scores, band__before=band(0.14), band__after=band(0.15))
    assert verdict(report).name is VerdictName.REDUCED


def test_an_untouched_signal_is_distinguishable_and_not_published() -> None:
    found = verdict(changed(scores=every_score(before=0.75, after=0.75)))
    assert found.name is VerdictName.DISTINGUISHABLE
    assert (found.publish, found.outcome) == (False, None)


def test_a_signal_that_fell_by_less_than_half_is_distinguishable() -> None:
    scores = every_score(before=0.80, after=0.66)
    assert verdict(changed(scores=scores)).name is VerdictName.DISTINGUISHABLE


def test_a_fall_that_chance_explains_is_distinguishable() -> None:
    scores = every_score(before=0.85, after=0.62, z=-1.96)
    assert verdict(changed(scores=scores)).name is VerdictName.DISTINGUISHABLE


def test_a_signal_on_the_other_side_of_one_half_is_over_unlearned() -> None:
    found = verdict(changed(scores=every_score(before=0.75, after=0.30)))
    assert found.name is VerdictName.OVER_UNLEARNED
    assert (found.publish, found.outcome) == (False, None)


def test_the_score_that_is_furthest_out_decides() -> None:
    report = changed(scores__neg_entropy=score(0.75, 0.20))
    assert verdict(report).name is VerdictName.OVER_UNLEARNED


def test_significance_without_a_large_figure_is_not_distinguishable() -> None:
    report = changed(kuiper__after__p_value=0.0002, scores__phi__after=auc(0.56, p=1e-5))
    assert verdict(report).name is VerdictName.NOT_SHOWN


def test_not_shown_names_the_tests_that_still_tell_the_samples_apart() -> None:
    # .136 is within the margin of .15, its upper bound is not.
    report = changed(band__after=band(0.136, p=0.001), kuiper__after__p_value=0.0002)
    found = verdict(report)
    assert found.name is VerdictName.NOT_SHOWN
    assert found.sentence.endswith(
        "The distribution test and the band attack still tell the samples from unseen ones."
    )


def test_a_large_figure_without_significance_is_not_distinguishable() -> None:
    report = changed(scores=every_score(before=0.75, after=0.62, half=0.2))
    for name in report["scores"]:
        report["scores"][name]["after"]["p_two_sided"] = 0.0026
    assert verdict(report).name is VerdictName.NOT_SHOWN


def test_four_tests_share_the_level() -> None:
    report = changed(scores__phi=score(0.75, 0.75))
    report["scores"]["phi"]["after"]["p_two_sided"] = 0.0025
    assert verdict(report).name is VerdictName.DISTINGUISHABLE
    report["scores"]["phi"]["after"]["p_two_sided"] = 0.00251
    assert verdict(report).name is VerdictName.NOT_SHOWN


# --- differences between persons allowed for


def of_a_person(**paths: Any) -> dict[str, Any]:
    return changed(person_null={"persons": 20}, **paths)


def test_a_distribution_test_shows_nothing_where_persons_differ() -> None:
    squeezed = {"band__after": band(0.21, p=0.001), "kuiper__after__p_value": 0.0002}
    assert verdict(changed(**squeezed)).name is VerdictName.REDUCED
    found = verdict(of_a_person(**squeezed))
    assert found.name is VerdictName.NOT_SHOWN
    assert found.tells_apart == []


def test_a_person_whom_an_auc_still_tells_apart_is_distinguishable() -> None:
    scores = every_score(before=0.75, after=0.75)
    found = verdict(of_a_person(scores=scores))
    assert found.name is VerdictName.DISTINGUISHABLE
    assert found.tells_apart == ["phi", "margin", "neg_entropy"]


def test_a_small_auc_and_a_wide_band_are_not_distinguishable_where_persons_differ() -> None:
    report = of_a_person(band__after=band(0.3), scores__phi__after=auc(0.56, p=1e-5))
    assert verdict(report).name is VerdictName.NOT_SHOWN


def test_an_unread_attack_keeps_a_person_from_within_the_margin_and_says_why_it_may_err() -> None:
    found = verdict(of_a_person(learned_attack__after__p_value=0.001))
    assert found.name is VerdictName.NOT_SHOWN
    assert "perhaps by the person alone" in found.sentence
    assert verdict(of_a_person()).name is VerdictName.WITHIN_MARGIN


# --- 4. too little data


def small() -> dict[str, Any]:
    report = changed(scores=every_score(before=0.75, after=0.55, half=0.2), band=None)
    return report | {"sizes": {"n_f": 10, "excluded": 0, "delta_plan": 0.27}}


def test_sets_that_cannot_prove_the_margin_are_insufficient() -> None:
    found = verdict(small())
    assert found.name is VerdictName.INSUFFICIENT_DATA
    assert found.sentence == (
        "10 samples can exclude only deviations of the attack AUC from 0.5 above 0.27, "
        "where the margin is 0.10. Nothing is shown either way."
    )
    assert (found.publish, found.outcome) == (True, "unlearned_not_testable")


def test_too_little_data_never_hides_an_attack_that_works() -> None:
    found = verdict(small() | {"learned_attack": {"after": {"p_value": 0.002}}})
    assert found.name is VerdictName.INSUFFICIENT_DATA
    assert found.sentence == (
        "10 samples can exclude only deviations of the attack AUC from 0.5 above 0.27, "
        "where the margin is 0.10. "
        "The learned attack still tells the samples from unseen ones."
    )


def test_too_little_data_is_not_published_if_the_signal_grew() -> None:
    def grown(after: float, error: float) -> dict[str, Any]:
        scores = every_score(before=0.55, after=after, half=0.3)
        for figures in scores.values():
            figures["change"]["se"] = error
            figures["after"]["p_two_sided"] = 0.1
        return small() | {"scores": scores}

    found = verdict(grown(0.70, 0.09))  # by .15, more than 1.645 x .09
    assert found.name is VerdictName.INSUFFICIENT_DATA
    assert (found.publish, found.outcome) == (False, None)
    assert verdict(grown(0.70, 0.10)).publish is True  # chance explains as much
    assert verdict(grown(0.30, 0.09)).publish is False  # conspicuous on the other side
    assert verdict(grown(0.45, 0.001)).publish is True


def still_found(p: float) -> dict[str, Any]:
    scores = every_score(before=0.8, after=0.7)
    for figures in scores.values():
        figures["after"]["p_two_sided"] = p
    return clean() | {"scores": scores}


def test_many_runs_lower_the_level_of_a_finding_and_never_what_hinders_the_margin() -> None:
    hindered = clean() | {"learned_attack": {"after": {"p_value": 0.006}}}
    for settings in ({}, {"rung": 4}, {"runs": 1_000}, {"rung": 3, "runs": 200}):
        found = verdict(hindered, **settings)
        assert found.name is not VerdictName.WITHIN_MARGIN, settings
        assert "learned_attack" in found.tells_apart, settings
    far = still_found(p=0.002)
    assert verdict(far).name is VerdictName.DISTINGUISHABLE  # .002 <= .01 / 4
    assert verdict(far, runs=50).name is VerdictName.DISTINGUISHABLE  # .5 / 50 = .01 still
    assert verdict(far, runs=100).name is not VerdictName.DISTINGUISHABLE


def test_an_owner_may_ask_for_a_higher_level_than_the_default() -> None:
    far = still_found(p=0.004)
    strict = POLICY.model_copy(update={"alpha": 0.05})
    assert judge(far, strict).name is VerdictName.DISTINGUISHABLE  # .004 <= .05 / 4
    assert judge(far, POLICY).name is not VerdictName.DISTINGUISHABLE


@pytest.mark.parametrize(("runs", "level"), [(1, 0.01), (50, 0.01), (51, 0.5 / 51), (200, 0.0025)])
def test_many_runs_share_half_a_false_alarm_in_thirty_days(runs: int, level: float) -> None:
    assert Case(clean(), POLICY, rung=0, runs=runs).level == pytest.approx(level)


def test_a_strong_signal_is_found_in_few_samples_too() -> None:
    report = small() | {"scores": every_score(before=0.95, after=0.95, half=0.1)}
    assert verdict(report).name is VerdictName.DISTINGUISHABLE


# --- publishing


@pytest.mark.parametrize(
    "report",
    [
        clean(),
        changed(scores=every_score(before=0.85, after=0.62)),
        changed(sizes__n_f=19),
        small(),
    ],
)
def test_nothing_approximate_is_published_when_utility_was_lost(report: dict[str, Any]) -> None:
    report = report | {"utility": {"fall": 0.021, "low": 0.0, "high": 0.04}}
    found = verdict(report)
    assert (found.utility_held, found.publish, found.outcome) == (False, False, None)


def test_a_fall_of_exactly_two_points_is_allowed() -> None:
    found = verdict(changed(utility__fall=13 / 650))
    assert (found.utility_held, found.publish) == (True, True)


def test_utility_that_could_not_be_measured_does_not_hold() -> None:
    assert verdict(changed(utility=None)).publish is False


@pytest.mark.parametrize(
    "report",
    [
        changed(scores=every_score(before=0.75, after=0.30)),
        changed(utility__fall=0.08),
        changed(reference={"auc": 0.9, "p_value": 0.001}),
    ],
)
def test_exact_retraining_is_always_published(report: dict[str, Any]) -> None:
    found = verdict(report, exact=True)
    assert (found.publish, found.outcome) == (True, "unlearned")


# --- the ladder


def test_every_rung_halves_the_levels_of_a_finding() -> None:
    report = changed(scores=every_score(before=0.75, after=0.75))
    for name in report["scores"]:
        report["scores"][name]["after"]["p_two_sided"] = 0.002
    assert verdict(report, rung=0).name is VerdictName.DISTINGUISHABLE
    assert verdict(report, rung=1).name is VerdictName.NOT_SHOWN


def test_every_rung_asks_for_a_wider_interval_and_a_higher_bound() -> None:
    report = changed(scores=every_score(before=0.75, after=0.535))
    assert [verdict(report, rung=r).name for r in (0, 1, 2)] == [
        VerdictName.WITHIN_MARGIN,
        VerdictName.WITHIN_MARGIN,
        VerdictName.NOT_SHOWN,
    ]
    # .08 + z .04 with z = 1.645, 1.960: .146 and .158.
    report = changed(band__after=band(0.08))
    assert verdict(report, rung=0).name is VerdictName.WITHIN_MARGIN
    assert verdict(report, rung=1).name is VerdictName.NOT_SHOWN


def test_no_rung_is_so_late_that_draws_cannot_stop_it() -> None:
    # .01 / 2^6 = .00016, but 999 draws give .001 at the least.
    report = changed(learned_attack__after__p_value=0.001, band__after=band(0.0, p=0.001))
    found = verdict(report, rung=6)
    assert found.tells_apart == ["band", "learned_attack"]
    assert found.name is VerdictName.NOT_SHOWN


def test_kuiper_can_stop_every_rung_too() -> None:
    # .01 / 4 / 2^4 = .00015625; 7999 draws reach .000125. From rung 5 on that is the level.
    wide = {"band__after": band(0.3, p=0.5), "scores": every_score(before=0.55, after=0.51)}
    lowest = changed(kuiper__after={"p_value": 0.000125, "draws": 7999}, **wide)
    assert [verdict(lowest, rung=rung).name for rung in (4, 5, 9)] == [
        VerdictName.DISTINGUISHABLE
    ] * 3
    second = changed(kuiper__after={"p_value": 0.00025, "draws": 7999}, **wide)
    assert verdict(second, rung=3).name is VerdictName.DISTINGUISHABLE
    assert verdict(second, rung=4).name is VerdictName.NOT_SHOWN


def test_a_negative_rung_is_refused() -> None:
    with pytest.raises(ValueError, match="rung"):
        judge(clean(), POLICY, rung=-1)


# --- the policy


def test_margins_of_the_policy_decide() -> None:
    wide = VerificationPolicy(delta_auc=0.2)
    report = changed(scores=every_score(before=0.75, after=0.58))
    assert judge(report, POLICY).name is VerdictName.NOT_SHOWN
    assert judge(report, wide).name is VerdictName.WITHIN_MARGIN


@pytest.mark.parametrize(
    "settings",
    [
        {"delta_auc": 0.0},
        {"delta_auc": 0.5},
        {"alpha": 0.0},
        {"alpha": float("nan")},
        {"max_accuracy_fall": -0.1},
        {"min_band_n": 3},
        {"unknown": 1},
    ],
)
def test_a_policy_out_of_bounds_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VerificationPolicy(**settings)


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        POLICY.alpha = 0.5
