"""The tables of the verification benchmark, from draws written by hand."""

from dataclasses import replace

import pytest

from benchmarks.draws import Outcome
from benchmarks.verification_tables import errors, verdict_table, verdicts

DRAW = Outcome(
    case="gold",
    n_f=30,
    verdict="insufficient_data",
    blocked_by_unread=False,
    covered={"phi": True},
    p={"kuiper": 0.4, "band": 0.4, "learned_attack": 0.4, "stability_attack": 0.4},
    same_model=(0.5, 0.6),
    band=0.0,
    auc=0.5,
)


def test_alarms_are_verdicts_that_name_a_deviation() -> None:
    draws = [DRAW] * 7 + [replace(DRAW, verdict=v) for v in ("distinguishable", "reduced")]
    draws.append(replace(DRAW, verdict="over_unlearned"))
    (row,) = verdicts({("gold", 30): draws}, ("gold",))
    assert row["alarm"]["share"] == 0.2
    assert row["shares"]["reduced"]["share"] == 0.1
    # Under gold there is nothing to reduce: there it counts too.
    (rates,) = errors({("gold", 30): draws}, ("gold",))
    assert rates["alarm"]["share"] == 0.3


def test_every_share_has_its_wilson_interval() -> None:
    (row,) = errors({("gold", 30): [DRAW] * 100}, ("gold",))
    # 0 of 100: the upper end is z^2 / (n + z^2) with z = 1.96.
    assert row["alarm"] == {"share": 0.0, "low": 0.0, "high": pytest.approx(0.037, abs=1e-4)}


def test_each_test_is_counted_at_its_own_level() -> None:
    draws = [replace(DRAW, p={"kuiper": 0.003, "learned_attack": 0.01}), DRAW]
    (row,) = errors({("gold", 30): draws}, ("gold",))
    assert row["rejected"]["kuiper"]["share"] == 0.0  # .0025
    assert row["rejected"]["learned_attack"]["share"] == 0.5  # .01
    assert row["rejected"]["band"]["share"] == 0.0


def test_p_values_in_one_place_are_not_uniform_and_spread_ones_are() -> None:
    even = [replace(DRAW, same_model=((k + 1) / 10, 1 - k / 10)) for k in range(10)] * 10
    cells = {("even", 30): even, ("gold", 30): [DRAW] * 100}
    flat, heaped = errors(cells, ("even", "gold"))
    assert flat["same_model_chi_square"] == 0.0
    # p between 1 - .6 and .5: all 100 in one bin of 10. (90^2 + 9 * 10^2) / 10.
    assert heaped["same_model_chi_square"] == 900.0


def test_a_table_names_every_cell_once() -> None:
    cells = {("gold", n_f): [replace(DRAW, n_f=n_f)] for n_f in (10, 30)}
    lines = verdict_table(verdicts(cells, ("gold",))).splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["gold", "10"], ["gold", "30"]]
