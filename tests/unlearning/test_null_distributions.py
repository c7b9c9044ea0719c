"""Under a true null every test must err as often as it says: simulations with fixed seeds."""

import numpy as np
import pytest
from scipy import stats

from workers.unlearning import distributions
from workers.unlearning.attacks import learned_attack
from workers.unlearning.band import (
    advantage_of,
    band_advantage,
    band_p_value,
    band_sets,
    kuiper,
    kuiper_p_value,
)
from workers.unlearning.conditional import class_places, percentiles
from workers.unlearning.errors import NonFiniteLogits
from workers.unlearning.figures import auc_figures
from workers.unlearning.permutation import same_model_test

CHI_SQUARE_10_BINS = 27.88  # .999 quantile, 9 degrees of freedom


def drawn_labels(rng: np.random.Generator, forget: int, unseen: int, classes: int = 4):
    """Unseen samples cover every class; forget samples follow another histogram."""
    weights = np.arange(1, classes + 1) / np.arange(1, classes + 1).sum()
    return rng.choice(classes, forget, p=weights), np.arange(unseen) % classes


@pytest.mark.parametrize("n_f", [2, 8, 40])
def test_the_permutation_p_value_is_uniform_when_both_sets_are_alike(n_f: int) -> None:
    rng = np.random.default_rng([2024, n_f])
    found = []
    for seed in range(400):
        forget, unseen = drawn_labels(rng, n_f, 60)
        # Rounded rows tie often, in the smallest sets above all.
        probs = rng.dirichlet(np.full(3, 0.4), n_f + 60).round(1) + 1e-3
        probs /= probs.sum(axis=1, keepdims=True)
        test = same_model_test(
            class_places(forget, unseen),
            np.unique(forget).tolist(),
            probs[:n_f],
            probs[n_f:],
            seed=seed,
            permutations=99,
        )
        found.append((test.above + rng.random() * (test.ties + 1)) / 100)
    counts = np.histogram(found, bins=10, range=(0, 1))[0]
    assert ((counts - 40) ** 2 / 40).sum() < CHI_SQUARE_10_BINS


def test_permutation_p_values_count_ties_on_both_sides() -> None:
    probs = np.full((6, 2), 0.5)
    places = class_places(np.zeros(2, np.int64), np.zeros(4, np.int64))
    test = same_model_test(places, [0], probs[:2], probs[2:], seed=1, permutations=19)
    assert (test.above, test.ties) == (0, 19)
    assert (test.p_up, test.p_low, test.p_two_sided) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("n_f", "shift"), [(10, 0.0), (30, 0.0), (30, 0.8), (120, 0.4)])
def test_the_90_percent_interval_covers_the_true_auc(n_f: int, shift: float) -> None:
    rng = np.random.default_rng([7, n_f, int(10 * shift)])
    truth = stats.norm.cdf(shift / np.sqrt(2))
    covered, runs = 0, 1000
    for _ in range(runs):
        forget, unseen = drawn_labels(rng, n_f, 300)
        places = class_places(forget, unseen)
        scores = rng.normal(size=n_f) + shift, rng.normal(size=300)
        low, high = auc_figures(places, percentiles(places, *scores)).interval_90
        covered += low <= truth <= high
    assert 0.87 <= covered / runs <= 0.97


@pytest.mark.parametrize("with_choosing", [True, False])
def test_the_band_advantage_of_two_equal_sets_is_0_on_average_and_its_p_value_honest(
    with_choosing: bool,
) -> None:
    rng = np.random.default_rng(5)
    forget, unseen = drawn_labels(rng, 40, 120)
    advantages, rejected = [], 0
    for _ in range(300):
        sets = band_sets(
            rng.normal(size=40),
            forget,
            rng.normal(size=120),
            unseen,
            seed=3,
            choosing_scores=rng.normal(size=120) if with_choosing else None,
            choosing_labels=unseen if with_choosing else None,
        )
        advantages.append(advantage_of(sets, 3).advantage)
        rejected += band_p_value(sets, 3, 199) <= 0.05
    mean, error = np.mean(advantages), np.std(advantages) / np.sqrt(300)
    assert abs(mean) < 3.5 * error
    assert 3 <= rejected <= 30  # 15 expected, binomial .9995 range


def test_tied_scores_do_not_make_a_band_out_of_two_equal_sets() -> None:
    rng = np.random.default_rng(11)
    forget, unseen = drawn_labels(rng, 40, 120)
    advantages, rejected = [], 0
    for seed in range(300):
        # Nine of ten scores are equal.
        sets = band_sets(
            (rng.random(40) < 0.9).astype(float),
            forget,
            (rng.random(120) < 0.9).astype(float),
            unseen,
            seed=seed,
            choosing_scores=(rng.random(120) < 0.9).astype(float),
            choosing_labels=unseen,
        )
        advantages.append(advantage_of(sets, 3).advantage)
        rejected += band_p_value(sets, 3, 4999) <= 0.05
    mean, error = np.mean(advantages), np.std(advantages) / np.sqrt(300)
    assert abs(mean) < 3.5 * error
    assert 3 <= rejected <= 30  # 15 expected, binomial .9995 range


def test_a_band_of_scores_that_are_not_finite_is_refused() -> None:
    labels = np.zeros(8, np.int64)
    scores = np.arange(8.0)
    with pytest.raises(NonFiniteLogits, match="1 of 8"):
        band_advantage(np.append(scores[:7], np.nan), labels, scores, labels, seed=1)


def test_memberships_that_repeat_give_the_same_test_as_any_other() -> None:
    # One of three rows: three memberships, so every value is one of three computed by hand.
    probs = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    places = class_places(np.zeros(1, np.int64), np.zeros(2, np.int64))

    def jsd(p: np.ndarray, q: np.ndarray) -> float:
        middle = (p + q) / 2
        return float((p * np.log(p / middle) + q * np.log(q / middle)).sum() / 2)

    values = [jsd(probs[i], np.delete(probs, i, axis=0).mean(axis=0)) for i in range(3)]
    assert values[0] > values[2] > values[1]
    test = same_model_test(places, [0], probs[:1], probs[1:], seed=1, permutations=999)
    assert test.value == pytest.approx(values[0])
    assert test.above == 0
    assert 270 <= test.ties <= 400  # a third of 999 draws


def test_kuiper_rejects_two_equal_sets_as_often_as_its_level_says() -> None:
    rng = np.random.default_rng(6)
    forget, unseen = drawn_labels(rng, 40, 120)
    places = class_places(forget, unseen)
    # Scores on a coarse grid: ties must not make the test reject.
    p_values = [
        kuiper_p_value(
            kuiper(places, rng.normal(size=40).round(1), rng.normal(size=120).round(1), seed),
            places,
            0,
            499,
        )
        for seed in range(600)
    ]
    for level in (0.02, 0.1, 0.4):
        rejected = sum(p <= level for p in p_values)
        # The statistic is discrete, so a level can be missed from below, but not by much.
        assert stats.binom.ppf(0.0005, 600, 0.6 * level) <= rejected
        assert rejected <= stats.binom.ppf(0.9995, 600, level)


def test_the_learned_attack_rejects_two_equal_sets_as_often_as_its_level_says() -> None:
    rng = np.random.default_rng(8)
    forget, unseen = drawn_labels(rng, 30, 160)
    places = class_places(forget, unseen)
    rejected = 0
    for seed in range(50):
        both = rng.normal(size=(190, 4))
        both[:, 3] = both[:, 3] > 0
        rejected += learned_attack(places, both[:30], both[30:], seed=seed, draws=99)[1] <= 0.05
    assert rejected <= 9  # 2.5 expected, binomial .9995


# --- what each test is for


def test_the_band_and_kuiper_see_samples_squeezed_into_the_middle_that_the_auc_misses() -> None:
    rng = np.random.default_rng(9)
    forget, unseen = drawn_labels(rng, 80, 400)
    places = class_places(forget, unseen)
    squeezed, scores = rng.normal(size=80) * 0.3, rng.normal(size=400)
    low, high = auc_figures(places, percentiles(places, squeezed, scores)).interval_90
    assert low < 0.5 < high
    sets = band_sets(
        squeezed, forget, scores, unseen, seed=1, choosing_scores=None, choosing_labels=None
    )
    assert band_advantage(squeezed, forget, scores, unseen, seed=1).advantage > 0.3
    assert band_p_value(sets, 1, 999) == 0.001
    assert kuiper_p_value(kuiper(places, squeezed, scores, 1), places, 1, 999) == 0.001


def test_the_learned_attack_sees_a_spread_that_no_single_score_orders() -> None:
    rng = np.random.default_rng(10)
    forget, unseen = drawn_labels(rng, 60, 300)
    places = class_places(forget, unseen)
    narrow, usual = rng.normal(size=(60, 4)) * 0.3, rng.normal(size=(300, 4))
    auc, p_value = learned_attack(places, narrow, usual, seed=1, draws=199)
    assert auc > 0.7
    assert p_value == 1 / 200


def test_kuipers_statistic_is_computed_by_hand() -> None:
    # Ranks: unseen 1, 2, 3, 4 and forget 0, 2.5: V = (0, 1/2).
    # D+ = max(1/2 - 0, 1 - 1/2) = 1/2; D- = max(0 - 0, 1/2 - 1/2) = 0.
    places = class_places(np.zeros(2, np.int64), np.zeros(4, np.int64))
    forget, unseen = np.array([0.0, 2.5]), np.array([1.0, 2.0, 3.0, 4.0])
    assert kuiper(places, forget, unseen, seed=0) == 0.5


# --- the arithmetic, against SciPy


@pytest.mark.parametrize("degrees", [1, 2, 9, 99, 1999, 100_000])
@pytest.mark.parametrize("t", [-2.0, 0.0, 0.3, 1.7, 4.0, 12.0])
def test_the_tail_of_students_t_agrees_with_scipy(degrees: int, t: float) -> None:
    tolerance = 1e-10 if degrees <= 2_000 else 2e-3
    expected = stats.t.sf(t, degrees)
    assert distributions.t_upper_tail(t, degrees) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("degrees", [1, 4, 29, 299])
@pytest.mark.parametrize("tail", [0.05, 0.025, 0.003])
def test_the_quantiles_of_students_t_agree_with_scipy(degrees: int, tail: float) -> None:
    expected = stats.t.isf(tail, degrees)
    assert distributions.t_quantile(tail, degrees) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("hits", "trials"), [(0, 5), (7, 9), (50, 50), (120, 1000)])
def test_wilson_intervals_agree_with_scipy(hits: int, trials: int) -> None:
    expected = stats.binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    low, high = distributions.wilson_interval(hits, trials)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_benjamini_hochberg_agrees_with_scipy() -> None:
    p_values = np.array([0.001, 0.04, 0.03, 0.9, 0.2, 0.03])
    expected = stats.false_discovery_control(p_values)
    np.testing.assert_allclose(distributions.benjamini_hochberg(p_values), expected)
