"""LoTUS's formulas against numbers that were computed independently, or by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from workers.unlearning import calibration, lotus
from workers.unlearning.errors import EmptySet, NonFiniteLogits, ShapeMismatch, TooFewClasses

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "unlearning.json").read_text())


def float64(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("case", VECTORS["temperature"])
def test_the_temperature_meets_the_expected_values(case: dict[str, float]) -> None:
    value = lotus.temperature(case["alpha"], case["forget_accuracy"], case["unseen_accuracy"])
    assert value == pytest.approx(case["temperature"], rel=1e-6)


def test_targets_and_loss_meet_the_expected_values() -> None:
    case = VECTORS["lotus_loss"]
    targets = lotus.targets(
        float64(case["teacher_logits"]),
        torch.tensor(case["is_forget"]),
        case["temperature"],
        float64(case["gumbel_noise"]),
    )
    torch.testing.assert_close(targets, float64(case["targets"]), rtol=1e-6, atol=1e-12)
    loss = lotus.loss(float64(case["student_logits"]), targets)
    assert loss.item() == pytest.approx(case["loss"], rel=1e-6)


def test_retain_targets_are_one_hot_samples_of_the_teacher_and_not_its_top_answer() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0]).expand(20_000, 3)
    retain = torch.zeros(20_000, dtype=torch.bool)
    targets = lotus.targets(logits, retain, 1.3, torch.Generator().manual_seed(1))
    assert set(targets.unique().tolist()) == {0.0, 1.0}
    assert bool((targets.sum(dim=1) == 1).all())
    # softmax([0, 1, 2]) by hand; three standard errors of a share of 20,000 are .0106 at most
    shares = [0.09003, 0.24473, 0.66524]
    assert targets.mean(dim=0).tolist() == pytest.approx(shares, abs=0.0106)


def test_a_higher_temperature_makes_forget_targets_more_uncertain() -> None:
    logits, noise = torch.tensor([[4.0, 0.0, 0.0]]), torch.zeros(1, 3)
    forget = torch.tensor([True])
    calm = lotus.targets(logits, forget, 1.0, noise)
    uncertain = lotus.targets(logits, forget, 4.0, noise)
    # exp(4) / (exp(4) + 2) and e / (e + 2)
    assert calm[0, 0].item() == pytest.approx(0.964663, abs=1e-6)
    assert uncertain[0, 0].item() == pytest.approx(0.576117, abs=1e-6)


def test_half_precision_teacher_logits_give_float32_targets() -> None:
    logits = torch.zeros(1, 2, dtype=torch.bfloat16)
    targets = lotus.targets(logits, torch.tensor([True]), 1.0, torch.zeros(1, 2))
    assert targets.dtype == torch.float32


def test_gumbel_noise_has_the_mean_and_deviation_of_the_standard_gumbel_distribution() -> None:
    noise = lotus.gumbel_noise((200_000,), torch.Generator().manual_seed(2))
    assert noise.mean().item() == pytest.approx(0.57722, abs=0.01)
    assert noise.std().item() == pytest.approx(math.pi / math.sqrt(6), abs=0.01)


def test_the_loss_is_the_cross_entropy_when_targets_are_labels() -> None:
    logits = torch.tensor([[1.0, 2.0], [0.5, -1.0]])
    labels = torch.tensor([1, 1])
    loss = lotus.loss(logits, F.one_hot(labels, 2).float())
    assert loss.item() == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("alpha", "forget", "unseen"), [(2.0, 1.1, 0.5), (2.0, 0.5, -0.1), (0.0, 0.5, 0.5)]
)
def test_a_temperature_outside_its_domain_is_refused(
    alpha: float, forget: float, unseen: float
) -> None:
    with pytest.raises(lotus.InvalidTemperature):
        lotus.temperature(alpha, forget, unseen)


def test_noise_of_another_shape_is_refused() -> None:
    with pytest.raises(ShapeMismatch):
        lotus.targets(torch.zeros(2, 3), torch.zeros(2), 1.0, torch.zeros(2, 2))


def test_student_logits_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeMismatch):
        lotus.loss(torch.zeros(2, 3), torch.zeros(3, 3))


def logits_for(answers: list[int], classes: int = 3) -> torch.Tensor:
    return F.one_hot(torch.tensor(answers), classes).float()


def test_class_matched_accuracy_weighs_classes_as_the_forget_set_does() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    logits = logits_for([0, 0, 0, 1, 1, 0])  # class 0: 3 of 4, class 1: 1 of 2
    forget = torch.tensor([0, 1, 1, 1])
    assert calibration.unseen_accuracy(logits, labels, forget) == pytest.approx(0.5625)


def test_forget_classes_without_unseen_samples_are_left_out_of_the_goal() -> None:
    labels, logits = torch.tensor([0, 0]), logits_for([0, 1])
    assert calibration.unseen_accuracy(logits, labels, torch.tensor([0, 2, 2])) == 0.5


def test_a_forget_set_with_no_unseen_class_at_all_takes_the_plain_accuracy_as_its_goal() -> None:
    labels, logits = torch.tensor([0, 0, 1, 1]), logits_for([0, 1, 1, 1])
    assert calibration.unseen_accuracy(logits, labels, torch.tensor([2])) == 0.75


def test_the_goal_of_a_wholly_forgotten_class_is_zero() -> None:
    labels, logits = torch.tensor([0, 0, 1, 1]), logits_for([0, 0, 1, 1])
    goal = calibration.target_accuracy(
        logits, labels, torch.tensor([0, 0, 0, 1]), torch.tensor([1]), class_matched=True
    )
    assert goal == 0.75  # three samples of class 0 at accuracy 1, one of class 1 at 0


def test_smoothing_pulls_the_accuracy_of_few_samples_towards_the_goal() -> None:
    assert calibration.smoothed_accuracy(3, 3, 10.0, 0.87) == pytest.approx(0.9)
    assert calibration.smoothed_accuracy(3, 4, 0.0, 0.2) == 0.75


@pytest.mark.parametrize(
    ("logits", "is_forget", "noise", "error"),
    [
        ([[math.nan, 0.0]], [0], [[0.0, 0.0]], NonFiniteLogits),
        ([[1.0, 0.0]], [1], [[math.inf, 0.0]], NonFiniteLogits),
        ([[1.0]], [0], [[0.0]], TooFewClasses),
        ([[1.0, 0.0]], [2], [[0.0, 0.0]], ShapeMismatch),
        ([[1.0, 0.0]], [1, 0], [[0.0, 0.0]], ShapeMismatch),
    ],
)
def test_targets_of_what_is_no_answer_are_refused(
    logits: list[list[float]],
    is_forget: list[int],
    noise: list[list[float]],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        lotus.targets(torch.tensor(logits), torch.tensor(is_forget), 1.0, torch.tensor(noise))


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1e-40, math.inf, math.nan])
def test_targets_at_no_temperature_are_refused(temperature: float) -> None:
    with pytest.raises(lotus.InvalidTemperature):
        lotus.targets(torch.zeros(1, 2), torch.tensor([1]), temperature, torch.zeros(1, 2))


@pytest.mark.parametrize("alpha", [1e6, math.inf, math.nan])
def test_a_gain_beyond_the_range_of_numbers_is_refused(alpha: float) -> None:
    with pytest.raises(lotus.InvalidTemperature):
        lotus.temperature(alpha, 1.0, 0.5)


def test_the_loss_of_no_rows_is_refused() -> None:
    with pytest.raises(EmptySet):
        lotus.loss(torch.zeros(0, 2), torch.zeros(0, 2))


def test_an_accuracy_of_nothing_or_of_nan_is_refused() -> None:
    with pytest.raises(EmptySet):
        calibration.accuracy(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ShapeMismatch):
        calibration.accuracy(torch.zeros(4, 2), torch.tensor([0]))
    with pytest.raises(NonFiniteLogits, match="1 of 2 rows"):
        calibration.accuracy(torch.tensor([[math.nan, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))


def test_forget_samples_of_classes_without_unseen_ones_are_counted() -> None:
    labels = torch.tensor([0, 0, 2, 1])
    assert calibration.uncalibrated(labels, torch.tensor([1, 2])) == 2


def test_the_papers_goal_knows_no_classes() -> None:
    logits, labels = logits_for([0, 1, 2, 0]), torch.tensor([0, 1, 2, 1])
    forget, whole = torch.tensor([0, 1, 2]), torch.tensor([2])
    plain, matched = (
        calibration.target_accuracy(logits, labels, forget, whole, class_matched=flag)
        for flag in (False, True)
    )
    assert plain == pytest.approx(3 / 4)
    # class 0: 1 of 1, class 1: 1 of 2, class 2 is forgotten entirely and aims at 0
    assert matched == pytest.approx((1 + 0.5 + 0) / 3)
