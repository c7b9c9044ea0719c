import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from workers.unlearning import errors, metrics

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "unlearning.json").read_text()
)
CLOSE = {"rel": 1e-6, "abs": 1e-12}
UNIFORM = [[0.5, 0.5]]


def distributions(classes: int = 5) -> st.SearchStrategy[np.ndarray]:
    weights = npst.arrays(np.float64, (3, classes), elements=st.floats(1e-6, 1.0))
    return weights.map(lambda rows: rows / rows.sum(axis=1, keepdims=True))


def kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return (p * np.log(p / q)).sum(axis=1)


# --- Jensen-Shannon divergence


def test_js_divergence_matches_the_expected_values() -> None:
    case = VECTORS["js_divergence"]
    found = metrics.js_divergence(torch.tensor(case["p"], dtype=torch.float64), case["q"])
    assert found.tolist() == pytest.approx(case["nats"], **CLOSE)


def test_js_divergence_of_an_even_and_a_sure_answer_is_computed_by_hand() -> None:
    # m = (3/4, 1/4): KL(p||m) = 1/2 ln(4/3), KL(q||m) = ln(4/3), so JSD = 3/4 ln(4/3).
    found = metrics.js_divergence([[0.5, 0.5]], [[1.0, 0.0]])
    assert found.tolist() == pytest.approx([0.75 * math.log(4 / 3)], **CLOSE)


def test_opposite_certainties_are_ln_2_apart() -> None:
    assert metrics.js_divergence([[1.0, 0.0]], [[0.0, 1.0]]).item() == pytest.approx(math.log(2))


@given(distributions(), distributions())
def test_js_divergence_is_symmetric_and_lies_between_0_and_ln_2(
    p: np.ndarray, q: np.ndarray
) -> None:
    forward, backward = metrics.js_divergence(p, q), metrics.js_divergence(q, p)
    assert torch.equal(forward, backward)
    assert bool(((forward >= 0) & (forward <= math.log(2))).all())
    assert metrics.js_divergence(p, p).tolist() == [0.0, 0.0, 0.0]


@given(distributions(), distributions())
def test_js_divergence_and_its_released_stand_in_add_up_to_a_quarter_of_jeffreys(
    p: np.ndarray, q: np.ndarray
) -> None:
    stand_in = metrics.arithmetic_geometric(torch.from_numpy(p), torch.from_numpy(q))
    total = metrics.js_divergence(p, q) + stand_in
    assert total.numpy() == pytest.approx((kl(p, q) + kl(q, p)) / 4, rel=1e-9, abs=1e-12)


# --- RF-JSD


@pytest.mark.parametrize("case", VECTORS["rf_jsd"])
def test_rf_jsd_matches_the_expected_values(case: dict[str, Any]) -> None:
    found = metrics.rf_jsd(
        case["forget_probs"],
        case["forget_labels"],
        case["unseen_probs"],
        case["unseen_labels"],
        case["num_classes"],
    )
    assert found.value == pytest.approx(case["rf_jsd"], **CLOSE)
    assert found.released_scale == pytest.approx(case["rf_jsd_released"], **CLOSE)
    assert list(found.per_class) == case["classes"]
    assert list(found.per_class.values()) == pytest.approx(case["per_class"], **CLOSE)
    assert set(found.missing_classes) == set(case["forget_labels"]) - set(case["classes"])


def test_rf_jsd_averages_over_classes_and_not_over_samples() -> None:
    sure, even, other = [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]
    found = metrics.rf_jsd([sure, sure, sure, other], [0, 0, 0, 1], [even, other], [0, 1], 2)
    assert found.value == pytest.approx(0.75 * math.log(4 / 3) / 2)


def test_rf_jsd_of_no_samples_is_an_error_and_not_0() -> None:
    nothing = torch.empty(0, 2)
    with pytest.raises(errors.EmptyForgetSet):
        metrics.rf_jsd(nothing, [], UNIFORM, [0], 2)
    with pytest.raises(errors.EmptySet):
        metrics.rf_jsd(UNIFORM, [0], nothing, [], 2)


def test_rf_jsd_without_a_shared_class_names_the_classes() -> None:
    with pytest.raises(errors.MissingUnseenClass) as caught:
        metrics.rf_jsd(UNIFORM, [0], UNIFORM, [1], 2)
    assert caught.value.classes == (0,)


@pytest.mark.parametrize(
    ("probs", "labels", "expected"),
    [
        ([[math.nan, 0.5]], [0], errors.NonFiniteLogits),
        ([[0.9, 0.5]], [0], errors.NotAProbability),
        ([[1.5, -0.5]], [0], errors.NotAProbability),
        ([[1.0]], [0], errors.TooFewClasses),
        ([[0.5, 0.5]], [2], errors.LabelOutOfRange),
        ([[0.5, 0.5]], [-1], errors.LabelOutOfRange),
        ([[0.5, 0.5]], [0, 1], errors.ShapeMismatch),
        ([[0.2, 0.3, 0.5]], [0], errors.ShapeMismatch),
    ],
)
def test_rf_jsd_refuses_what_is_no_labelled_distribution(
    probs: list[list[float]], labels: list[int], expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        metrics.rf_jsd(probs, labels, UNIFORM, [0], 2)


def test_refusals_say_shapes_and_counts() -> None:
    with pytest.raises(errors.NonFiniteLogits, match="1 of 2 rows"):
        metrics.js_divergence([[0.5, 0.5], [math.inf, 0.0]], [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(errors.ShapeMismatch, match=r"\(1, 2\) and \(2, 2\)"):
        metrics.js_divergence(UNIFORM, UNIFORM * 2)


# --- the paper's membership inference


def test_membership_inference_matches_the_expected_values() -> None:
    case = VECTORS["membership_inference"]
    found = metrics.membership_inference(
        case["retain_probs"], case["unseen_probs"], case["forget_probs"]
    )
    assert found.member_fraction == pytest.approx(case["member_fraction"], **CLOSE)
    assert found.auc == pytest.approx(case["auc_forget_vs_unseen"], **CLOSE)
    forget = torch.tensor(case["forget_probs"], dtype=torch.float64)
    assert metrics.entropy(forget).tolist() == pytest.approx(case["entropies_forget"], **CLOSE)


def test_membership_inference_agrees_with_scikit_learn_on_unbalanced_sets() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(11)
    retain, unseen, forget = (
        rng.dirichlet(np.full(6, concentration), size)
        for concentration, size in ((0.2, 300), (0.5, 40), (0.3, 77))
    )
    entropies = [metrics.entropy(torch.from_numpy(p)).numpy() for p in (retain, unseen, forget)]
    reference = linear.LogisticRegression(class_weight="balanced", tol=1e-10).fit(
        np.concatenate(entropies[:2])[:, None], np.repeat([1, 0], (300, 40))
    )
    found = metrics.membership_inference(retain, unseen, forget)
    assert found.member_fraction == reference.predict(entropies[2][:, None]).mean()
    assert found.retain_accuracy == reference.predict(entropies[0][:, None]).mean()


def test_membership_inference_needs_every_set() -> None:
    nothing = torch.empty(0, 2)
    with pytest.raises(errors.EmptyForgetSet):
        metrics.membership_inference(UNIFORM, UNIFORM, nothing)
    with pytest.raises(errors.EmptySet, match="retain"):
        metrics.membership_inference(nothing, UNIFORM, UNIFORM)


# --- class-conditional AUC


@pytest.mark.parametrize("case", VECTORS["conditional_auc"])
def test_conditional_auc_matches_the_expected_values(case: dict[str, Any]) -> None:
    found = metrics.conditional_auc(
        case["forget_scores"], case["forget_labels"], case["unseen_scores"], case["unseen_labels"]
    )
    assert found.auc == pytest.approx(case["auc"], **CLOSE)
    assert found.standard_error == pytest.approx(case["standard_error"], **CLOSE)
    assert found.effective_unseen == pytest.approx(case["effective_unseen"], **CLOSE)
    assert found.percentiles.tolist() == pytest.approx(case["percentiles"], **CLOSE)


def test_conditional_auc_of_two_samples_is_computed_by_hand() -> None:
    # V = (3/4, 1/4), var 1/8. W = (1/2, 1/2, 1, 0), var 1/6, w = 1/4.
    # SE^2 = (1/8) / 2 + (1/4)^2 * 4 * (1/6) = 5/48, above se0^2 = (1/2 + 1/4) / 12.
    found = metrics.conditional_auc([2.0, 0.0], [0, 0], [1.0, 1.0, -1.0, 3.0], [0, 0, 0, 0])
    assert found.percentiles.tolist() == [0.75, 0.25]
    assert found.auc == 0.5
    assert found.standard_error == pytest.approx(math.sqrt(5 / 48))
    assert found.effective_unseen == pytest.approx(4)


def test_ties_count_half() -> None:
    found = metrics.conditional_auc([1.0], [0], [1.0, 0.0], [0, 0])
    assert found.auc == 0.75


def test_samples_are_compared_within_their_class_only() -> None:
    found = metrics.conditional_auc([0.0, 10.0], [0, 1], [-1.0, -2.0, 11.0, 12.0], [0, 0, 1, 1])
    assert found.percentiles.tolist() == [1.0, 0.0]


def test_a_small_forget_set_is_never_surer_than_two_equal_sets_would_be() -> None:
    found = metrics.conditional_auc([9.0, 9.0], [0, 0], [1.0, 2.0, 3.0], [0, 0, 0])
    assert found.standard_error == pytest.approx(math.sqrt((1 / 2 + 1 / 3) / 12))


@given(st.integers(0, 2**32 - 1))
def test_conditional_auc_depends_on_the_order_of_scores_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    forget, unseen = rng.integers(-20, 20, 15) / 8, rng.integers(-20, 20, 40) / 8
    labels = rng.integers(0, 3, 15), np.arange(40) % 3

    def auc(scale: Any) -> float:
        return metrics.conditional_auc(scale(forget), labels[0], scale(unseen), labels[1]).auc

    assert auc(np.exp) == auc(lambda s: s) == auc(lambda s: s**3 + 5 * s)
    assert auc(lambda s: -s) == pytest.approx(1 - auc(lambda s: s))


def test_a_forget_class_without_unseen_samples_is_an_error() -> None:
    with pytest.raises(errors.MissingUnseenClass, match=r"1 forget classes \(2 samples\)"):
        metrics.conditional_auc([1.0, 2.0, 3.0], [0, 7, 7], [1.0], [0])


def test_conditional_auc_refuses_empty_and_non_finite_scores() -> None:
    with pytest.raises(errors.EmptyForgetSet):
        metrics.conditional_auc([], [], [1.0], [0])
    with pytest.raises(errors.EmptySet):
        metrics.conditional_auc([1.0], [0], [], [])
    with pytest.raises(errors.NonFiniteLogits, match="1 of 1"):
        metrics.conditional_auc([math.nan], [0], [1.0], [0])
    with pytest.raises(errors.ShapeMismatch):
        metrics.conditional_auc([1.0], [0, 0], [1.0], [0])
