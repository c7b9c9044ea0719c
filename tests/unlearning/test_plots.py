"""Plots by hand-worked numbers, and that they belong to the figures of the report."""

import json
import math
from typing import Any

import numpy as np
import pytest

from tests.unlearning.test_verification import model
from workers.unlearning.conditional import class_places
from workers.unlearning.evaluation import Observation, SetObservation
from workers.unlearning.metrics import conditional_auc
from workers.unlearning.permutation import same_model_test
from workers.unlearning.plots import BINS, MOST_POINTS, null_plot, roc, thinned
from workers.unlearning.report import Report
from workers.unlearning.verification import verify

SURE, TORN = [50.0, 0.0, 0.0], [50.0, 50.0, 50.0]  # entropy 0 and ln 3


def curve(forget: list[Any], unseen: list[Any]) -> list[tuple[float, float]]:
    """Pairs of label and score."""
    (of_f, f), (of_u, u) = (np.array(side, float).T for side in (forget, unseen))
    rates = roc(class_places(of_f.astype(np.int64), of_u.astype(np.int64)), f, u)
    return list(zip(*(rate.tolist() for rate in rates), strict=True))


def area(points: tuple[Any, Any]) -> float:
    x, y = points
    return float(np.trapezoid(y, x))


def test_a_curve_has_a_step_for_every_sample() -> None:
    points = curve([(0, 3), (0, 1)], [(0, 2), (0, 0)])
    assert points == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]


def test_equal_scores_give_a_slope() -> None:
    assert curve([(0, 1)], [(0, 1), (0, 0)]) == [(0, 0), (0.5, 1), (1, 1)]


def test_a_slope_and_steps_add_up() -> None:
    # One sample is tied with the upper half, one stands at its lower end, one below all.
    points = curve([(0, 2), (0, 1), (0, -1), (0, 2)], [(0, 2), (0, 0)])
    assert points == [(0, 0), (0.5, 0.5), (0.5, 0.75), (1, 0.75), (1, 1)]


def test_samples_are_compared_within_their_class_alone() -> None:
    """Pooled, the sample of class 1 would stand below those of class 0 and gain nothing."""
    points = curve([(0, 10), (1, 1)], [(0, 11), (0, 9), (1, 0), (1, 0), (1, 0)])
    assert points == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]


@pytest.mark.parametrize("digits", [0, 1, 12])
def test_the_area_under_the_whole_curve_is_the_class_conditional_auc(digits: int) -> None:
    """Rounded scores tie often, and classes of other sizes step at other rates."""
    rng = np.random.default_rng(digits)
    for n_f, n_u in ((1, 5), (7, 40), (300, 900)):
        of_forget = rng.choice(5, n_f, p=[0.4, 0.3, 0.1, 0.1, 0.1])
        of_unseen = np.arange(n_u) % 5
        forget = (rng.normal(size=n_f) + 0.5).round(digits)
        unseen = rng.normal(size=n_u).round(digits)
        points = roc(class_places(of_forget, of_unseen), forget, unseen)
        expected = conditional_auc(forget, of_forget, unseen, of_unseen).auc
        assert area(points) == pytest.approx(expected, abs=1e-12)
        assert all((np.diff(rate) >= 0).all() for rate in points)
        assert [(rate[0], rate[-1]) for rate in points] == [(0.0, 1.0), (0.0, 1.0)]


@pytest.mark.parametrize("shape", ["rough", "one long step", "smooth"])
def test_a_thinned_curve_keeps_points_of_the_curve_and_looks_the_same(shape: str) -> None:
    rng = np.random.default_rng(3)
    if shape == "smooth":
        x = np.linspace(0, 1, 5_001)
        y = np.sqrt(x)
    else:
        x, y = (np.sort(np.append(rng.random(4_999), [0.0, 1.0])) for _ in range(2))
    if shape == "one long step":
        y[2_000:-1] = y[2_000]
    kept = thinned(x, y)
    assert 20 < len(kept[0]) <= MOST_POINTS
    assert set(zip(*kept, strict=True)) <= set(zip(x, y, strict=True))
    assert (kept[0][0], kept[1][0], kept[0][-1], kept[1][-1]) == (0, 0, 1, 1)
    assert farthest(x, y, *kept) <= 0.0072
    assert area(kept) == pytest.approx(area((x, y)), abs=0.002)


def farthest(x: np.ndarray, y: np.ndarray, kept_x: np.ndarray, kept_y: np.ndarray) -> float:
    """Largest distance of a point from the part of the thinned curve that stands for it."""
    ends = np.searchsorted(kept_x + kept_y, x + y).clip(1)
    dx, dy = (np.diff(rate)[ends - 1] for rate in (kept_x, kept_y))
    off = (x - kept_x[ends - 1]) * dy - (y - kept_y[ends - 1]) * dx
    return float(np.abs(off / np.maximum(np.hypot(dx, dy), 1e-300)).max())


def test_a_curve_of_few_points_stays_whole() -> None:
    x, y = np.linspace(0, 1, MOST_POINTS), np.linspace(0, 1, MOST_POINTS)
    assert len(thinned(x, y)[0]) == MOST_POINTS


def saying(labels: list[int], answers: list[list[float]]) -> SetObservation:
    shifted = np.zeros(len(labels), np.float32)
    return SetObservation(np.array(answers, np.float32), np.array(labels), shifted)


def observed(forget: list[list[float]], unseen: list[list[float]]) -> Observation:
    """Three forget samples of class 0 and one of class 1; unseen ones of classes 0, 0, 1 and 2."""
    unseen_set = saying([0, 0, 1, 2], unseen)
    return Observation(saying([0, 0, 0, 1], forget), unseen_set, unseen_set, unseen_set)


def test_entropies_are_counted_by_set_and_weighted_to_the_forget_set_s_mix_of_classes() -> None:
    before = observed([SURE] * 4, [SURE, SURE, TORN, TORN])
    after = observed([SURE, SURE, SURE, TORN], [SURE, TORN, TORN, TORN])
    plot = verify(before, after, seed=1, permutations=9).plots.entropy
    assert plot is not None
    assert len(plot.edges) == BINS + 1
    assert (plot.edges[0], plot.edges[-1]) == (0.0, pytest.approx(math.log(3)))

    def ends(values: list[Any]) -> tuple[Any, Any]:
        assert len(values) == BINS and not any(values[1:-1])
        return values[0], values[-1]

    assert ends(plot.forget_before.counts) == (4, 0)
    assert ends(plot.forget_after.counts) == (3, 1)
    assert ends(plot.forget_after.shares) == (0.75, 0.25)
    # Nothing is compared with the sample of class 2. Of class 0 each weighs 3/4 of 1/2.
    assert (plot.unseen.size, plot.unseen_after.size) == (3, 3)
    assert ends(plot.unseen.counts) == (2, 1)
    assert ends(plot.unseen.shares) == pytest.approx((0.75, 0.25))
    assert ends(plot.unseen_after.counts) == (1, 2)
    assert ends(plot.unseen_after.shares) == pytest.approx((0.375, 0.625))


def test_the_permuted_values_are_counted_from_the_smallest_to_the_largest() -> None:
    """One of three rows is chosen: three values, each in about a third of the draws."""
    probs = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    places = class_places(np.zeros(1, np.int64), np.zeros(2, np.int64))
    test = same_model_test(places, [0], probs[:1], probs[1:], seed=1, permutations=999)
    plot = null_plot(test)
    assert plot.value == test.value == pytest.approx(plot.edges[-1])
    assert len(plot.edges) == BINS + 1 and sum(plot.counts) == plot.permutations == 999
    assert sorted(plot.counts)[:-3] == [0] * (BINS - 3)
    assert plot.counts[-1] == test.ties
    assert plot.p_up == (1 + plot.counts[-1]) / 1000


def test_permuted_values_that_differ_by_rounding_alone_are_one_bar_of_some_width() -> None:
    probs = np.full((6, 2), 0.5)
    places = class_places(np.zeros(2, np.int64), np.zeros(4, np.int64))
    plot = null_plot(same_model_test(places, [0], probs[:2], probs[2:], seed=1, permutations=19))
    assert plot.counts == [19] + [0] * (BINS - 1)
    assert np.diff(plot.edges).min() > 0


def planted(n_f: int, n_test: int = 300) -> Report:
    labels = np.arange(n_f) % 5
    before = model(labels, 5.0, seed=1, n_test=n_test)
    after = model(labels, 2.0, seed=2, n_test=n_test)
    return verify(before, after, seed=7, permutations=99)


@pytest.mark.parametrize("n_f", [1, 4, 60])
def test_the_curves_of_a_report_have_its_aucs_as_their_areas(n_f: int) -> None:
    report = planted(n_f)
    assert report.plots.roc is not None and report.scores is not None
    assert set(report.plots.roc) == set(report.scores)
    for name, figures in report.scores.items():
        curves = report.plots.roc[name]
        for drawn, stated in ((curves.before, figures.before), (curves.after, figures.after)):
            assert drawn.auc == stated.auc
            whole = area((drawn.false_positive_rate, drawn.true_positive_rate))
            assert whole == pytest.approx(stated.auc, abs=1e-12)


def test_a_large_run_is_drawn_with_few_numbers() -> None:
    report = planted(1_000, 2_000)
    assert report.plots.roc is not None
    for curves in report.plots.roc.values():
        for drawn in (curves.before, curves.after):
            assert len(drawn.false_positive_rate) == len(drawn.true_positive_rate) <= MOST_POINTS
            thin = area((drawn.false_positive_rate, drawn.true_positive_rate))
            assert thin == pytest.approx(drawn.auc, abs=0.002)
    assert len(json.dumps(report.plots.to_dict(), allow_nan=False)) < 100_000


def test_the_null_of_a_report_is_that_of_its_same_model_tests() -> None:
    report = planted(60)
    assert report.plots.rf_jsd is not None and report.rf_jsd is not None
    pairs = (
        (report.plots.rf_jsd.before, report.rf_jsd.same_before),
        (report.plots.rf_jsd.after, report.rf_jsd.same_after),
    )
    for drawn, stated in pairs:
        assert (drawn.value, drawn.p_up) == (stated.value, stated.p_up)
        assert sum(drawn.counts) == drawn.permutations == stated.permutations
    assert report.plots.rf_jsd.before.value > report.plots.rf_jsd.before.edges[-1]


def test_where_nothing_can_be_compared_each_plot_says_why_it_is_missing() -> None:
    before = Observation(
        saying([1], [SURE]),
        saying([0], [SURE]),
        saying([0], [SURE]),
        saying([0], [SURE]),
    )
    report = verify(before, before, seed=1, permutations=9)
    assert report.plots.to_dict() == {
        "entropy": None,
        "roc": None,
        "rf_jsd": None,
        "reasons": dict.fromkeys(("entropy", "roc", "rf_jsd"), report.reasons["all"]),
    }


def test_the_figures_do_not_contain_the_plots() -> None:
    """A certificate holds the figures, and is kept for ever."""
    assert "plots" not in planted(4).to_dict()
