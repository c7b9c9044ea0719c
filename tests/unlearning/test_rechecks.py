"""Which completed cases a new version of a model has brought back."""

import math

import numpy as np
import pytest

from workers.unlearning.conditional import Percentiles, class_places, percentiles
from workers.unlearning.errors import EmptySet
from workers.unlearning.rechecks import (
    Change,
    InvalidLevel,
    case_alarms,
    change,
    pooled_alarm,
    recheck,
)


def test_a_change_splits_its_error_into_own_and_unseen_samples() -> None:
    # V: (1/4, 3/4) then (3/4, 3/4): differences (1/2, 0), mean 1/4, variance 1/8, own^2 = 1/16.
    # W: (1, 1, 0, 0) then (1, 1, 1, 0): differences (0, 0, 1, 0), variance 1/4; w = 1/4, so the
    # unseen part is (1/4)^2 * 4 * 1/4 = 1/16. Ranks: forget 1.5, 3.5 then 3.5, 3.5 among 1..4.
    places = class_places(np.zeros(2, np.int64), np.zeros(4, np.int64))
    closed = Percentiles(np.array([0.25, 0.75]), np.array([1.0, 1.0, 0.0, 0.0]))
    now = Percentiles(np.array([0.75, 0.75]), np.array([1.0, 1.0, 1.0, 0.0]))
    found = change(places, closed, now)
    assert found.difference == 0.25
    assert found.own_error == pytest.approx(0.25)
    assert found.unseen_error == pytest.approx(0.25)
    assert found.standard_error == pytest.approx(math.sqrt(1 / 8))


def test_the_pooled_bound_is_computed_by_hand() -> None:
    # w = (3/4, 1/4): difference .75 * .10 + .25 * .02 = .08.
    # SE^2 = (.75 * .04)^2 + (.25 * .08)^2 + (.75 * .02 + .25 * .02)^2 = .0009 + .0004 + .0004.
    found = pooled_alarm([Change(0.10, 0.04, 0.02, 30), Change(0.02, 0.08, 0.02, 10)])
    assert found.difference == pytest.approx(0.08)
    assert found.standard_error == pytest.approx(math.sqrt(0.0017))
    # t(39 degrees, .01) = 2.425841
    assert found.lower_99 == pytest.approx(0.08 - 2.425841 * math.sqrt(0.0017), abs=1e-6)
    assert found.alarm is False


@pytest.mark.parametrize(("difference", "alarm"), [(0.054, True), (0.053, False), (-0.2, False)])
def test_the_pooled_alarm_wants_the_lower_bound_above_three_points(
    difference: float, alarm: bool
) -> None:
    # .03 + 2.3263 * .01 = .0533: with so many samples Student's t is the normal distribution
    assert pooled_alarm([Change(difference, 0.01, 0.0, 10_000)]).alarm is alarm


def test_a_case_needs_a_small_q_and_a_change_of_ten_points() -> None:
    # z = 3, 3, 1, 0: p = .00135, .00135, .1587, .5, q = .0027, .0027, .2116, .5.
    found = case_alarms(
        [
            Change(0.15, 0.05, 0.0, 10_000),
            Change(0.09, 0.03, 0.0, 10_000),
            Change(0.15, 0.15, 0.0, 10_000),
            Change(0.0, 0.05, 0.0, 10_000),
        ]
    )
    assert [case.alarm for case in found] == [True, False, False, False]
    assert [case.p_value for case in found] == pytest.approx(
        [0.001350, 0.001350, 0.158655, 0.5], abs=1e-6
    )
    assert [case.q for case in found] == pytest.approx(
        [0.002700, 0.002700, 0.211540, 0.5], abs=1e-6
    )


def test_cases_are_looked_at_only_after_a_pooled_alarm() -> None:
    back, quiet = Change(0.3, 0.03, 0.0, 10), Change(0.0, 0.03, 0.0, 10)
    pooled, cases = recheck([back, *[quiet] * 19])
    assert (pooled.alarm, cases) == (False, [])
    pooled, cases = recheck([back, back, quiet])
    assert pooled.alarm is True
    assert [case.alarm for case in cases] == [True, True, False]


@pytest.mark.parametrize(
    "broken", [(math.nan, 0.1, 0.1), (0.1, 0.0, 0.0), (0.1, -0.1, 0.2), (0.1, math.inf, 0.1)]
)
def test_a_change_without_a_usable_error_is_refused(broken: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidLevel):
        Change(*broken, samples=3)


def test_no_cases_and_cases_without_samples_are_refused() -> None:
    with pytest.raises(EmptySet):
        pooled_alarm([])
    with pytest.raises(InvalidLevel, match="at least 1 sample"):
        Change(0.1, 0.1, 0.0, 0)


def test_two_samples_are_judged_with_one_degree_of_freedom() -> None:
    # P(T_1 >= 1) = 1/4, where the normal tail would give .16.
    (found,) = case_alarms([Change(0.2, 0.2, 0.0, 2)])
    assert found.p_value == pytest.approx(0.25)


# --- error rates: cases of 12 samples against the same 300 unseen rows, scores with known shifts


def relapsed(rng: np.random.Generator, shift: float, cases: int = 15) -> list[Change]:
    """Scores under two versions, correlated .6; the second is `shift` higher on forget samples."""
    classes = np.arange(300) % 3
    unseen = rng.normal(size=300)
    later = 0.6 * unseen + 0.8 * rng.normal(size=300)
    found = []
    for _ in range(cases):
        places = class_places(np.arange(12) % 3, classes)
        forget = rng.normal(size=12)
        now = 0.6 * forget + 0.8 * rng.normal(size=12) + shift
        found.append(
            change(places, percentiles(places, forget, unseen), percentiles(places, now, later))
        )
    return found


def test_an_unchanged_model_hardly_ever_raises_the_pooled_alarm() -> None:
    rng = np.random.default_rng(1)
    alarms = sum(pooled_alarm(relapsed(rng, 0.0)).alarm for _ in range(200))
    assert alarms <= 3  # below 1 % each: the bound must pass a margin as well


def test_a_change_at_the_margin_raises_the_pooled_alarm_as_often_as_its_level_says() -> None:
    rng = np.random.default_rng(2)
    # P(X + shift > Y) = .53 for unit normals: shift = sqrt(2) * .07527.
    shift = math.sqrt(2) * 0.07527
    alarms = sum(pooled_alarm(relapsed(rng, shift)).alarm for _ in range(400))
    assert alarms <= 12  # 4 expected, binomial .9995


def test_a_full_relapse_is_always_seen_and_most_of_its_cases_are_named() -> None:
    rng = np.random.default_rng(3)
    # +.21 of AUC: shift = sqrt(2) * .80642.
    shift = math.sqrt(2) * 0.80642
    named = []
    for _ in range(40):
        pooled, cases = recheck(relapsed(rng, shift))
        assert pooled.alarm is True
        named.append(np.mean([case.alarm for case in cases]))
    assert np.mean(named) > 0.5


def test_among_unchanged_cases_few_are_named_whatever_the_pooled_test_said() -> None:
    rng = np.random.default_rng(4)
    named = [sum(case.alarm for case in case_alarms(relapsed(rng, 0.0))) for _ in range(100)]
    assert sum(count > 0 for count in named) <= 14  # 5 expected, binomial .9995
