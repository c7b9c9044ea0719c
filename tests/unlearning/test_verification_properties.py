"""What must hold for every input, or as often as a level says: properties and simulations."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import stats

from workers.unlearning import errors, metrics
from workers.unlearning.band import band_advantage, kuiper, kuiper_p_value
from workers.unlearning.conditional import class_places, percentiles
from workers.unlearning.figures import auc_figures, provable_margin

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def sparse_distributions(draw: st.DrawFn) -> np.ndarray:
    """(4, 6) float32 softmax rows, most of their classes at exactly 0."""
    weights = draw(npst.arrays(np.float64, (4, 6), elements=st.floats(0.0, 1.0)))
    kept = np.where(weights > 0.7, weights, 0.0)
    kept[:, 0] += 1e-3
    return (kept / kept.sum(axis=1, keepdims=True)).astype(np.float32)


# --- Jensen-Shannon divergence


@given(sparse_distributions(), sparse_distributions())
def test_js_divergence_keeps_its_bounds_where_classes_have_no_chance_at_all(
    p: np.ndarray, q: np.ndarray
) -> None:
    found = metrics.js_divergence(p, q)
    assert bool(((found >= 0.0) & (found <= math.log(2.0))).all())
    assert found.tolist() == metrics.js_divergence(q, p).tolist()
    # Half the squared total variation and the total variation times ln 2 enclose it (Lin 1991).
    variation = np.abs(p.astype(float) - q.astype(float)).sum(axis=1) / 2
    assert (found.numpy() <= variation * math.log(2.0) + 1e-6).all()
    assert (found.numpy() >= variation**2 / 2 - 1e-6).all()


@given(sparse_distributions(), SEEDS)
def test_js_divergence_does_not_depend_on_the_order_of_classes(p: np.ndarray, seed: int) -> None:
    q = np.roll(p, 1, axis=0)
    order = np.random.default_rng(seed).permutation(p.shape[1])
    shuffled = metrics.js_divergence(p[:, order], q[:, order]).tolist()
    assert shuffled == pytest.approx(metrics.js_divergence(p, q).tolist(), abs=1e-12)


@given(SEEDS)
def test_the_divergence_of_the_released_code_is_never_below_the_js_divergence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(5, 0.5), (2, 8)) + 1e-9
    p, q = (side / side.sum(axis=1, keepdims=True) for side in (p, q))
    stand_in = metrics.arithmetic_geometric(torch.from_numpy(p), torch.from_numpy(q))
    assert (metrics.js_divergence(p, q) <= stand_in + 1e-12).all()


# --- only the order of scores counts

MAPS: list[Callable[[np.ndarray], np.ndarray]] = [
    np.exp,
    np.arctan,
    lambda scores: 3.0 * scores - 7.0,
    lambda scores: scores**3,
]


@given(SEEDS, st.sampled_from(MAPS))
def test_band_and_kuiper_depend_on_the_order_of_scores_alone(
    seed: int, mapped: Callable[[np.ndarray], np.ndarray]
) -> None:
    rng = np.random.default_rng(seed)
    forget, unseen = rng.integers(-30, 30, 24) / 8, rng.integers(-30, 30, 60) / 8
    labels, among = np.arange(24) % 3, np.arange(60) % 3
    places = class_places(labels, among)
    assert kuiper(places, mapped(forget), mapped(unseen), 5) == kuiper(places, forget, unseen, 5)
    plain = band_advantage(forget, labels, unseen, among, seed=5)
    assert band_advantage(mapped(forget), labels, mapped(unseen), among, seed=5) == plain


@given(SEEDS)
def test_the_membership_auc_depends_on_the_order_of_confidence_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = [0.5 + rng.integers(1, 40, size) / 100 for size in (20, 30, 15)]

    def auc(sharpen: Callable[[np.ndarray], np.ndarray]) -> float:
        rows = [np.stack([sharpen(c), 1.0 - sharpen(c)], axis=1) for c in sets]
        return metrics.membership_inference(*rows).auc

    # Of two classes: the surer, the smaller the entropy.
    assert auc(lambda c: c) == auc(lambda c: 0.5 + 2 * (c - 0.5) ** 2) == auc(np.sqrt)


# --- as often as the level says


def test_kuipers_null_counts_every_order_of_forget_and_unseen_samples_equally() -> None:
    # Two forget among two unseen: (0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2) unseen below, a
    # sixth each. D+ + D- is 1/2 for (0, 1) and (1, 2), and 1 for the four others.
    places = class_places(np.zeros(2, np.int64), np.zeros(2, np.int64))
    draws = 19_999
    assert kuiper_p_value(0.5, places, 3, draws) == 1.0
    error = math.sqrt(2 / 9 / draws)
    assert abs(kuiper_p_value(1.0, places, 3, draws) - 2 / 3) < 4 * error


def test_classes_of_kuipers_null_are_drawn_apart() -> None:
    # One forget sample in each of two classes, one unseen each: V is 0 or 1, four cases alike.
    # (0, 0) and (1, 1) give 1, (0, 1) and (1, 0) give D+ = 1/2 and D- = 1/2: 1 as well.
    places = class_places(np.array([0, 1]), np.array([0, 1]))
    assert kuiper_p_value(1.0, places, 3, 999) == 1.0
    assert kuiper_p_value(1.01, places, 3, 999) == 1 / 1000


@pytest.mark.parametrize("draw", ["normal", "exponential", "standard_cauchy"])
@pytest.mark.parametrize("n_f", [15, 100, 300])
def test_the_90_percent_interval_covers_one_half_under_any_scores(n_f: int, draw: str) -> None:
    rng = np.random.default_rng([13, n_f, len(draw)])
    covered, runs = 0, 500
    unseen_labels = np.arange(400) % 5
    for _ in range(runs):
        # Two classes hold most of the forget set.
        labels = rng.choice(5, n_f, p=[0.45, 0.35, 0.1, 0.05, 0.05])
        places = class_places(labels, unseen_labels)
        scores = (getattr(rng, draw)(size=size) for size in (n_f, 400))
        low, high = auc_figures(places, percentiles(places, *scores)).interval_90
        covered += low <= 0.5 <= high
    assert 0.87 <= covered / runs <= 0.97


def test_the_margin_that_sizes_can_prove_is_proved_in_four_of_five_cases() -> None:
    rng = np.random.default_rng(14)
    labels, unseen_labels = np.arange(80) % 4, np.arange(800) % 4
    places = class_places(labels, unseen_labels)
    margin = provable_margin(places)
    proved = 0
    for _ in range(500):
        shares = percentiles(places, rng.normal(size=80), rng.normal(size=800))
        proved += auc_figures(places, shares).margin_proved <= margin
    # 400 expected; the binomial .9995 range, and t instead of the normal quantile.
    assert stats.binom.ppf(0.0005, 500, 0.78) <= proved <= stats.binom.ppf(0.9995, 500, 0.82)


# --- bad input


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_paper_s_attack_refuses_answers_that_are_not_finite(place: int) -> None:
    sets = [np.full((3, 2), 0.5) for _ in range(3)]
    sets[place][1, 0] = math.nan
    with pytest.raises(errors.NonFiniteLogits, match="1 of 3 rows"):
        metrics.membership_inference(*sets)


def test_one_class_has_no_divergence_and_no_attack() -> None:
    one = np.ones((3, 1))
    with pytest.raises(errors.TooFewClasses):
        metrics.js_divergence(one, one)
    with pytest.raises(errors.TooFewClasses):
        metrics.membership_inference(one, one, one)


def test_a_forget_class_missing_among_the_unseen_is_named_by_rf_jsd() -> None:
    rows = np.full((3, 3), 1 / 3)
    found = metrics.rf_jsd(rows, [0, 1, 1], rows, [0, 2, 2], 3)
    assert found.missing_classes == (1,)
    assert list(found.per_class) == [0]
