"""What can be drawn of whole runs, over HTTP, beside the figures that it belongs to."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from app.erasure.verdict import judge
from tests.erasure.conftest import Cases
from tests.erasure.working import Hand
from tests.registry.front import Front
from tests.workers.test_runner import LENIENT, of_three, one_run, register
from workers import runner


@pytest.fixture
def hand(front: Front) -> Hand:
    return Hand.hire(front.runtime, datetime.now(UTC))


@pytest.fixture
def cases(front: Front) -> Cases:
    return Cases(front.api)


def ended(front: Front, hand: Hand, cases: Cases) -> tuple[Any, Any]:
    """A whole run for ada: as the API shows it, and its plots."""
    settings = {"epochs": 3, "steer": False}
    register(front, of_three(), settings=settings, verification=LENIENT, ladder=[])
    request = cases.submit("ada")
    one_run(front, hand)
    run = front.get(f"/runs/{cases.item(request)['run']}")
    return run, front.get(f"/runs/{run['id']}/plots")


@pytest.mark.parametrize("state", ["succeeded", "rejected"])
def test_a_run_has_plots_of_its_own_figures_whatever_became_of_it(
    state: str, front: Front, hand: Hand, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_told(*given: Any, **settings: Any) -> Any:
        return replace(judge(*given, **settings), publish=state == "succeeded")

    monkeypatch.setattr(runner, "judge", as_told)
    run, plots = ended(front, hand, cases)
    assert run["state"] == state
    figures = run["metrics"]
    assert plots["reasons"] == {} and "plots" not in figures

    entropy = plots["entropy"]
    assert (entropy["edges"][0], entropy["edges"][-1]) == (0, pytest.approx(math.log(2)))
    sizes = figures["sizes"]
    for name, size in (
        ("forget_before", sizes["n_f"]),
        ("forget_after", sizes["n_f"]),
        ("unseen", sizes["n_u"]),
        ("unseen_after", sizes["n_u"]),
    ):
        found = entropy[name]
        assert len(found["counts"]) == len(found["shares"]) == len(entropy["edges"]) - 1
        assert found["size"] == sum(found["counts"]) == size > 0
        assert sum(found["shares"]) == pytest.approx(1.0)
    assert set(plots["roc"]) == set(figures["scores"])
    for score, curves in plots["roc"].items():
        for side in ("before", "after"):
            assert curves[side]["auc"] == figures["scores"][score][side]["auc"]
            assert area(curves[side]) == pytest.approx(curves[side]["auc"], abs=1e-9)
    for side in ("before", "after"):
        drawn, stated = plots["rf_jsd"][side], figures["rf_jsd"][f"same_{side}"]
        assert (drawn["value"], drawn["p_up"]) == (stated["value"], stated["p_up"])
        assert sum(drawn["counts"]) == drawn["permutations"] == figures["permutations"]


def area(curve: dict[str, Any]) -> float:
    x, y = curve["false_positive_rate"], curve["true_positive_rate"]
    return float(np.trapezoid(y, x))


def test_every_epoch_has_what_a_page_draws_of_it(front: Front, hand: Hand, cases: Cases) -> None:
    run, _ = ended(front, hand, cases)
    assert [epoch["number"] for epoch in run["epochs"]] == [1, 2, 3]
    for epoch in run["epochs"]:
        assert 0 <= epoch["forget_accuracy"] <= 1 and 0 <= epoch["target_accuracy"] <= 1
        gap = epoch["forget_accuracy"] - epoch["target_accuracy"]
        assert epoch["accuracy_gap"] == pytest.approx(gap)
        assert epoch["temperature"] > 0 and epoch["seconds"] > 0
        assert isinstance(epoch["loss"], float)
    assert len({epoch["target_accuracy"] for epoch in run["epochs"]}) == 1
    assert run["epochs"][0]["steps"] * 3 == run["epochs"][2]["steps"]
