"""The printed figures are those of the report, with the sign that a reader expects."""

from typing import Any

import pytest

from app.cli.figures import first_page_rows, interval, number, percent
from app.cli.following import _fraction
from client import Run

ACCURACY = {"before": {"value": 0.985, "n": 649}, "after": {"value": 0.982, "n": 649}}
REPORT: dict[str, Any] = {
    "sizes": {"n_f": 100, "n_u": 649, "delta_plan": 0.0917},
    "scores": {
        "phi": {
            "before": {"auc": 0.645},
            "after": {"auc": 0.523, "interval_90": [0.419, 0.628], "margin_proved": 0.128},
        }
    },
    "band": {"before": {"advantage": 0.303}, "after": {"advantage": 0.108, "upper_95": 0.191}},
    "rf_jsd": {"before": 0.01031, "value": 0.00532, "same_after": {"p_up": 0.406}},
    "accuracy": {"test": ACCURACY},
    "utility": {"fall": 0.003, "low": -0.004, "high": 0.010},
}
RUN: dict[str, Any] = {
    "id": "run_1",
    "model": "mdl_1",
    "base_version": "ver_1",
    "base_number": 1,
    "rung": 0,
    "attempt": 1,
    "method": "lotus",
    "mode": "guided",
    "config": {},
    "seed": 1,
    "created_at": "2026-01-31T12:00:00Z",
}


def test_the_first_page_has_five_figures_before_and_after() -> None:
    assert first_page_rows(REPORT) == [
        ["1", "samples", "100 forget", "649 unseen", "can prove a margin of 0.092"],
        ["2", "attack AUC", "0.645", "0.523", "90 % [0.419, 0.628], margin proved 0.128"],
        ["3", "band advantage", "0.303", "0.108", "95 % upper bound 0.191"],
        ["4", "RF-JSD, nats", "0.0103", "0.0053", "same-model p 0.406"],
        [
            "5",
            "accuracy on unseen data",
            "98.5 %",
            "98.2 %",
            "-0.3 points, 95 % [-1.0, +0.4]",
        ],
    ]


@pytest.mark.parametrize("missing", [None, {}])
def test_figures_that_could_not_be_computed_are_dashes(missing: dict[str, Any] | None) -> None:
    sizes = {"n_f": 3, "n_u": 0, "delta_plan": None}
    report = {**dict.fromkeys(REPORT, missing), "sizes": sizes}
    assert [row[2:] for row in first_page_rows(report)] == [
        ["3 forget", "0 unseen", "can prove a margin of -"],
        ["-", "-", "90 % [-, -], margin proved -"],
        ["-", "-", "95 % upper bound -"],
        ["-", "-", "same-model p -"],
        ["-", "-", "-"],
    ]


def test_numbers_are_rounded_once() -> None:
    assert (number(0.0005), number(0.12345, 4), percent(0.9825)) == ("0.001", "0.1235", "98.2 %")
    assert interval(0.1, 0.25, 1) == "[0.1, 0.2]"


@pytest.mark.parametrize(
    ("state", "progress", "fraction"),
    [
        ("queued", None, 0.0),
        ("running", None, 0.05),
        ("running", {"epoch": 5, "planned_epochs": 10}, 0.375),
        ("running", {"epoch": 10, "planned_epochs": 10}, 0.7),
        ("verifying", {"epoch": 10, "planned_epochs": 10}, 0.7),
        ("publishing", None, 0.95),
        ("succeeded", None, 1.0),
        ("failed", None, 1.0),
    ],
)
def test_the_bar_grows_with_phases_and_epochs(
    state: str, progress: dict[str, Any] | None, fraction: float
) -> None:
    run = Run.model_validate({**RUN, "state": state, "progress": progress})
    assert _fraction(run) == pytest.approx(fraction)
