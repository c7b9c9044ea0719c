"""Verification on planted cases: logits with a known truth, no network."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from workers.unlearning import errors
from workers.unlearning.evaluation import Observation, SetObservation
from workers.unlearning.reference import ReferenceCheck
from workers.unlearning.verification import verify

CLASSES = 5
FEW = 99  # permutations where the p-value itself is not the point


def labels_of(count: int, seed: int, classes: int = CLASSES) -> np.ndarray:
    return np.random.default_rng([seed, count]).permutation(np.arange(count) % classes)


def seen(labels: np.ndarray, evidence: Any, rng: np.random.Generator) -> SetObservation:
    """Unit normal logits with `evidence` (scalar or (N,)) added at the label."""
    rows = np.arange(len(labels))
    logits = rng.normal(size=(len(labels), CLASSES))
    logits[rows, labels] += evidence
    shifted = logits[rows, labels] + rng.normal(scale=0.1, size=len(labels))
    return SetObservation(logits.astype(np.float32), labels, shifted.astype(np.float32))


def model(
    forget_labels: np.ndarray,
    forget_evidence: Any,
    *,
    seed: int = 0,
    n_val: int = 200,
    n_test: int = 300,
    unseen_labels: Callable[[int, int], np.ndarray] = labels_of,
) -> Observation:
    """Unseen evidence is 2 throughout, trained-on evidence 5."""
    rng = np.random.default_rng([seed, 99])
    return Observation(
        forget=seen(forget_labels, forget_evidence, rng),
        retain=seen(labels_of(200, 1), 5.0, rng),
        validation=seen(unseen_labels(n_val, 2), 2.0, rng),
        test=seen(unseen_labels(n_test, 3), 2.0, rng),
    )


def report(n_f: int = 60, after: Any = 2.0, **settings: Any) -> dict[str, Any]:
    labels = labels_of(n_f, 4)
    before = model(labels, 5.0, seed=1)
    found = verify(before, model(labels, after, seed=2), seed=7, permutations=FEW, **settings)
    return found.to_dict()


def test_an_untouched_model_is_seen_by_every_test() -> None:
    labels = labels_of(60, 4)
    untouched = model(labels, 5.0)
    found = verify(untouched, untouched, seed=3).to_dict()
    for score in ("phi", "margin", "neg_entropy"):
        assert found["scores"][score]["after"]["p_two_sided"] < 1e-6
        assert found["scores"][score]["change"]["difference"] == 0.0
        assert found["scores"][score]["change"]["z"] == 0.0
    assert found["kuiper"]["after"]["p_value"] < 0.001
    assert found["band"]["after"]["p_value"] == 0.001
    assert found["learned_attack"]["after"]["p_value"] == 0.001
    assert found["rf_jsd"]["same_after"]["p_up"] == 0.001
    assert found["rf_jsd"]["saw_before"] is True


def test_a_perfect_result_is_within_chance_and_the_fall_is_measured() -> None:
    found = report()
    phi = found["scores"]["phi"]
    assert phi["before"]["auc"] > 0.85
    low, high = phi["after"]["interval_90"]
    assert low < 0.5 < high
    assert phi["change"]["z"] < -5
    assert phi["change"]["difference"] == pytest.approx(phi["after"]["auc"] - phi["before"]["auc"])
    assert phi["after"]["margin_proved"] == pytest.approx(max(0.5 - low, high - 0.5))
    assert found["kuiper"]["after"]["p_value"] > 0.01
    assert found["learned_attack"]["after"]["p_value"] > 0.01
    assert found["rf_jsd"]["same_after"]["p_up"] > 0.01


def test_intervals_and_bounds_widen_with_every_rung() -> None:
    found = report()
    widths = [high - low for low, high in found["scores"]["phi"]["after"]["interval_by_rung"]]
    assert widths == sorted(widths)
    assert len(set(widths)) == len(widths) == 5
    bounds = found["band"]["after"]["upper_by_rung"]
    assert bounds == sorted(bounds)
    assert bounds[0] == found["band"]["after"]["upper_95"]


def test_samples_that_were_made_too_uncertain_fall_below_one_half() -> None:
    found = report(after=-3.0)
    assert found["scores"]["phi"]["after"]["interval_90"][1] < 0.3


def test_sizes_say_what_was_compared_and_what_these_sizes_can_prove() -> None:
    sizes = report()["sizes"]
    # 60 forget and 300 unseen samples, both balanced: n_eff = 300.
    expected = 2.93 * np.sqrt((1 / 60 + 1 / 300) / 12)
    assert sizes["delta_plan"] == pytest.approx(expected)
    del sizes["delta_plan"]
    assert sizes == {
        "n_f": 60,
        "n_u": 300,
        "n_test": 300,
        "n_val": 200,
        "n_retain": 200,
        "n_eff": pytest.approx(300),
        "excluded": 0,
        "excluded_classes": [],
    }


def test_the_json_form_has_stable_keys() -> None:
    assert sorted(report()) == [
        "accuracy",
        "band",
        "kuiper",
        "learned_attack",
        "membership_inference",
        "permutations",
        "person_null",
        "persons",
        "reasons",
        "reference",
        "rf_jsd",
        "scores",
        "seed",
        "sizes",
        "stability_attack",
        "utility",
    ]


def test_the_same_observations_and_seed_give_the_same_report() -> None:
    assert report() == report()


@pytest.mark.parametrize("n_f", [1, 2, 3, 4, 5])
def test_a_tiny_forget_set_gives_finite_figures_or_says_why_not(n_f: int) -> None:
    found = report(n_f)
    json.dumps(found, allow_nan=False)
    assert 0.0 <= found["scores"]["phi"]["after"]["auc"] <= 1.0
    assert found["scores"]["phi"]["after"]["se"] > 0.1
    for figure, needs in (("band", 4), ("stability_attack", 4), ("learned_attack", 5)):
        assert (found[figure] is None) == (n_f < needs) == (figure in found["reasons"])


def test_one_sample_proves_nothing_about_the_interval() -> None:
    assert report(1)["scores"]["phi"]["after"]["interval_90"] == [0.0, 1.0]


def test_no_forget_samples_is_an_error() -> None:
    with pytest.raises(errors.EmptyForgetSet):
        report(0)


def test_the_band_works_without_validation_samples_by_halving_the_test_set() -> None:
    labels = labels_of(60, 4)
    before = model(labels, 5.0, seed=1, n_val=0)
    found = verify(before, model(labels, 2.0, seed=2, n_val=0), seed=7, permutations=FEW).to_dict()
    assert found["band"]["before"]["advantage"] > 0.4
    assert abs(found["band"]["after"]["advantage"]) < 0.2
    assert found["rf_jsd"]["drift"] is None
    assert "validation" in found["reasons"]["rf_jsd.drift"]
    assert "validation" not in found["accuracy"]


def test_forget_classes_without_unseen_samples_are_left_out_and_counted() -> None:
    labels = np.array([0] * 20 + [1] * 20 + [4] * 7)
    unseen = {"unseen_labels": lambda n, seed: labels_of(n, seed, 4)}
    before, after = model(labels, 5.0, seed=1, **unseen), model(labels, 2.0, seed=2, **unseen)
    found = verify(before, after, seed=7, permutations=FEW).to_dict()
    assert found["sizes"]["n_f"] == 40
    assert found["sizes"]["excluded"] == 7
    assert found["sizes"]["excluded_classes"] == [4]
    assert found["sizes"]["n_u"] == 150
    assert found["accuracy"]["forget"]["after"]["n"] == 47


def test_nothing_comparable_gives_no_figures_and_a_reason() -> None:
    labels = np.full(9, 4)
    unseen = {"unseen_labels": lambda n, seed: labels_of(n, seed, 4)}
    before = model(labels, 5.0, **unseen)
    found = verify(before, before, seed=7, permutations=FEW).to_dict()
    assert found["sizes"]["n_f"] == 0
    assert found["sizes"]["excluded"] == 9
    assert all(found[key] is None for key in ("scores", "rf_jsd", "kuiper", "band"))
    assert "no class" in found["reasons"]["all"]
    json.dumps(found, allow_nan=False)


def test_a_whole_class_is_compared_and_left_out_of_utility() -> None:
    labels = np.zeros(40, np.int64)
    before, after = model(labels, 5.0, seed=1), model(labels, 2.0, seed=2)
    rows = before.retain.labels != 0
    before, after = (
        replace(side, retain=SetObservation(side.retain.logits[rows], side.retain.labels[rows]))
        for side in (before, after)
    )
    found = verify(before, after, seed=7, permutations=FEW).to_dict()
    assert found["sizes"]["n_u"] == 60
    assert found["rf_jsd"]["paper_value_valid"] is False
    assert found["rf_jsd"]["same_after"]["p_up"] > 0.01
    assert found["utility"]["left_out"] == 60
    assert found["utility"]["n"] == 240


def test_a_class_that_the_retain_sample_merely_misses_is_not_a_whole_class() -> None:
    labels = np.zeros(40, np.int64)
    before = model(labels, 5.0, seed=1)
    rows = before.retain.labels != 0
    before = replace(
        before, retain=SetObservation(before.retain.logits[rows], before.retain.labels[rows])
    )
    found = {
        name: verify(before, before, seed=7, permutations=FEW, whole_classes=classes).to_dict()
        for name, classes in (("none", np.empty(0, np.int64)), ("two", np.array([0, 1])))
    }
    assert found["none"]["utility"]["left_out"] == 0
    assert found["none"]["rf_jsd"]["paper_value_valid"] is True
    assert found["two"]["utility"]["left_out"] == 60  # class 1 is no part of the forget set
    assert found["two"]["rf_jsd"]["paper_value_valid"] is False


def test_utility_is_the_paired_fall_of_accuracy_with_its_interval() -> None:
    labels = labels_of(60, 4)
    before = model(labels, 5.0, seed=1)
    right = before.test.logits.argmax(axis=1) == before.test.labels
    logits = before.test.logits.copy()
    turned = np.flatnonzero(right)[:9]
    logits[turned] = -logits[turned]
    after = replace(before, test=replace(before.test, logits=logits))
    utility = verify(before, after, seed=7, permutations=FEW).to_dict()["utility"]
    assert utility["fall"] == pytest.approx(9 / 300)
    # Agresti-Min: one pseudo-pair each way; 9/302 +- 1.96 sqrt((10/302 - (9/302)^2) / 302).
    half = 1.959964 * np.sqrt((10 / 302 - (9 / 302) ** 2) / 302)
    assert utility["low"] == pytest.approx(9 / 302 - half, rel=1e-5)
    assert utility["high"] == pytest.approx(9 / 302 + half, rel=1e-5)


def test_a_person_who_is_still_known_is_flagged_and_the_others_are_not() -> None:
    persons = np.repeat(np.arange(6), 10)
    evidence = np.where(persons == 3, 6.0, 2.0)
    people = report(after=evidence, persons=persons)["persons"]
    assert [person["person"] for person in people if person["flagged"]] == [3]
    known = people[3]
    assert known["n"] == 10
    assert known["mean_after"] > 0.8
    assert known["q"] <= 0.05
    # .5 +- 1.96 sqrt((1/10 + 1/n_eff) / 12) with n_eff between 200 and 300.
    assert 0.3170 < known["range_low"] < 0.3182
    assert known["range_low"] + known["range_high"] == pytest.approx(1.0)
    mean = np.mean([person["mean_after"] for person in people])
    assert mean == pytest.approx(report(after=evidence)["scores"]["phi"]["after"]["auc"])


def test_a_sample_of_two_persons_counts_among_the_figures_of_both() -> None:
    whose = np.zeros((3, 60), bool)
    whose[0, :30] = whose[1, 20:] = whose[2, 25:28] = True
    people = report(60, persons=whose)["persons"]
    assert [person["n"] for person in people] == [30, 40, 3]
    single = report(60, persons=np.repeat([0, 1], 30))["persons"]
    assert people[0]["mean_after"] == single[0]["mean_after"]


@pytest.mark.parametrize("shape", [(2, 59), (0, 60), (2, 60, 1)])
def test_memberships_must_give_every_row_a_person(shape: tuple[int, ...]) -> None:
    with pytest.raises(errors.ShapeMismatch, match="persons"):
        report(60, persons=np.ones(shape, bool))
    alone = np.ones((1, 60), bool)
    alone[0, 7] = False
    with pytest.raises(errors.ShapeMismatch, match="persons"):
        report(60, persons=alone)


def test_differences_between_never_trained_persons_widen_the_interval() -> None:
    labels = labels_of(60, 4)
    strangers = np.arange(300) % 20
    rng = np.random.default_rng(5)
    style = rng.normal(scale=2.0, size=20)[strangers]
    before, after = model(labels, 5.0, seed=1), model(labels, 2.0, seed=2)
    styled = replace(after, test=seen(after.test.labels, 2.0 + style, rng))
    plain = verify(before, styled, seed=7, permutations=FEW).to_dict()
    aware = verify(before, styled, seed=7, permutations=FEW, unseen_persons=strangers).to_dict()
    assert plain["person_null"] is None
    assert aware["person_null"]["persons"] == 20
    assert aware["person_null"]["variance_after"]["phi"] > 0.01
    wide, narrow = (found["scores"]["phi"]["after"]["se"] for found in (aware, plain))
    extra = aware["person_null"]["variance_after"]["phi"]
    assert wide**2 == pytest.approx(narrow**2 + extra)
    even = verify(before, after, seed=7, permutations=FEW, unseen_persons=strangers).to_dict()
    assert even["person_null"]["variance_after"]["phi"] < 0.005


def test_differences_between_persons_count_only_where_the_inputs_differ() -> None:
    labels, strangers = labels_of(60, 4), np.arange(300) % 20
    before, after = model(labels, 5.0, seed=1), model(labels, 2.0, seed=2)

    def null(auc: float, p_value: float) -> object:
        check = ReferenceCheck(auc, p_value, 60, 99)
        return verify(
            before, after, seed=7, permutations=FEW, unseen_persons=strangers, reference=check
        ).to_dict()["person_null"]

    assert null(0.6, 0.01) is not None
    assert null(0.59, 0.001) is None
    assert null(0.9, 0.02) is None


def test_a_reference_check_that_could_not_be_made_leaves_differences_between_persons_in() -> None:
    labels, strangers = labels_of(4, 4), np.arange(300) % 20
    before, after = model(labels, 5.0, seed=1), model(labels, 2.0, seed=2)
    check = ReferenceCheck(None, None, 4, 0, "needs 5 comparable forget samples")
    found = verify(
        before, after, seed=7, permutations=FEW, unseen_persons=strangers, reference=check
    ).to_dict()
    assert found["person_null"]["persons"] == 20
    assert "person_null" not in found["reasons"]


def test_a_person_more_unusual_than_the_unseen_ones_gets_no_allowance() -> None:
    found = {
        unusual_p: report(
            unseen_persons=np.arange(300) % 20,
            reference=ReferenceCheck(0.9, 0.001, 60, 99, unusual_p=unusual_p),
        )
        for unusual_p in (0.05, 0.06)
    }
    assert found[0.05]["person_null"] is None
    assert "more unusual" in found[0.05]["reasons"]["person_null"]
    assert found[0.05]["reference"]["unusual_p"] == 0.05
    assert found[0.06]["person_null"]["persons"] == 20


def test_differences_between_persons_widen_the_margin_that_sizes_can_prove() -> None:
    labels, strangers = labels_of(60, 4), np.arange(300) % 20
    rng = np.random.default_rng(5)
    after = model(labels, 2.0, seed=2)
    style = rng.normal(scale=2.0, size=20)[strangers]
    styled = replace(after, test=seen(after.test.labels, 2.0 + style, rng))
    persons = np.repeat([0, 1, 2], 20)
    found = verify(
        model(labels, 5.0, seed=1),
        styled,
        seed=7,
        permutations=FEW,
        persons=persons,
        unseen_persons=strangers,
    ).to_dict()
    largest = max(found["person_null"]["variance_after"].values())
    assert largest > 0.01
    # Three persons of equal size: sum (n_j / n_f)^2 = 1/3.
    expected = 2.93 * np.sqrt((1 / 60 + 1 / 300) / 12 + largest / 3)
    assert found["sizes"]["delta_plan"] == pytest.approx(expected)


def test_kuipers_p_value_can_reach_the_corrected_level_of_four_retries() -> None:
    found = report()["kuiper"]
    assert found["after"]["draws"] == found["before"]["draws"] == 8 * (FEW + 1) - 1
    untouched = model(labels_of(60, 4), 5.0)
    lowest = verify(untouched, untouched, seed=3).to_dict()["kuiper"]["after"]
    assert lowest["draws"] == 7999
    assert lowest["p_value"] == 1 / 8000 < 0.01 / 4 / 2**4


def test_too_few_unseen_persons_give_no_person_level_null() -> None:
    found = report(unseen_persons=np.arange(300) % 4)
    assert found["person_null"] is None
    assert "person_null" in found["reasons"]


def broken(change: str) -> tuple[Observation, Observation, type[Exception]]:
    good = model(labels_of(20, 4), 2.0)
    logits, labels = good.test.logits.copy(), good.test.labels.copy()
    if change == "NaN":
        logits[3, 1] = np.nan
        bad, expected = replace(good.test, logits=logits), errors.NonFiniteLogits
    elif change == "label":
        labels[0] = CLASSES
        bad, expected = replace(good.test, labels=labels), errors.LabelOutOfRange
    elif change == "negative label":
        labels[0] = -1
        bad, expected = replace(good.test, labels=labels), errors.LabelOutOfRange
    elif change == "perturbed":
        shifted = good.test.shifted_evidence.copy()
        shifted[2] = np.nan
        bad, expected = replace(good.test, shifted_evidence=shifted), errors.NonFiniteLogits
    elif change == "other rows":
        bad, expected = replace(good.test, labels=labels[::-1].copy()), errors.ShapeMismatch
    elif change == "one class":
        narrow = SetObservation(logits[:, :1], np.zeros(len(labels), np.int64))
        return replace(good, test=narrow), replace(good, test=narrow), errors.TooFewClasses
    else:
        empty = SetObservation(logits[:0], labels[:0])
        return replace(good, test=empty), replace(good, test=empty), errors.EmptySet
    both = replace(good, test=bad)
    return (good if change in ("other rows", "NaN") else both), both, expected


@pytest.mark.parametrize(
    "change",
    ["NaN", "label", "negative label", "perturbed", "other rows", "one class", "empty"],
)
def test_broken_observations_are_refused(change: str) -> None:
    before, after, expected = broken(change)
    with pytest.raises(expected):
        verify(before, after, seed=1, permutations=FEW)


def test_persons_must_cover_the_forget_rows() -> None:
    with pytest.raises(errors.ShapeMismatch, match="persons"):
        report(60, persons=np.zeros(59, np.int64))
