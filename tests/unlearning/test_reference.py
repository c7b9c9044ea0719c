"""The reference check reads inputs only: are the forget samples like the unseen ones at all?"""

import pytest
import torch

from workers.unlearning import errors
from workers.unlearning.data import NonFiniteInputs
from workers.unlearning.reference import reference_check


def inputs(count: int, style: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    values = torch.randn(count, 1, 8, 8, generator=generator) + labels[:, None, None, None] * 3.0
    values[:, :, 0, :] += style
    return values, labels


def test_the_reference_check_rejects_two_equal_sets_as_often_as_its_level_says() -> None:
    p_values = [
        reference_check(
            *inputs(12, 0.0, 2 * seed), *inputs(60, 0.0, 2 * seed + 1), seed=seed, permutations=19
        ).p_value
        for seed in range(200)
    ]
    # 10 and 100 expected; binomial .9995 ranges.
    assert 1 <= sum(p <= 0.05 for p in p_values) <= 22
    assert 76 <= sum(p <= 0.5 for p in p_values) <= 124


def test_samples_of_another_style_fire_the_reference_check() -> None:
    check = reference_check(*inputs(60, 1.5, 1), *inputs(300, 0.0, 2), seed=4, permutations=199)
    assert check.auc is not None
    assert check.auc > 0.9
    assert check.p_value == 1 / 200


def test_classes_alone_do_not_fire_the_reference_check() -> None:
    values, labels = inputs(90, 0.0, 1)
    rows = labels != 2
    check = reference_check(
        values[rows], labels[rows], *inputs(300, 0.0, 2), seed=4, permutations=199
    )
    assert check.p_value is not None
    assert check.p_value > 0.05
    assert check.samples == 60


def test_a_few_samples_give_no_reference_check_and_a_reason() -> None:
    check = reference_check(*inputs(3, 0.0, 1), *inputs(30, 0.0, 2), seed=4)
    assert (check.auc, check.p_value) == (None, None)
    assert check.reason == "needs 5 comparable forget samples"


def test_inputs_that_are_not_finite_are_refused() -> None:
    values, labels = inputs(30, 0.0, 1)
    broken = values.clone()
    broken[4, 0, 0, 0] = float("nan")
    for pair in ((broken, values), (values, broken)):
        with pytest.raises(NonFiniteInputs, match="1 of 60"):
            reference_check(pair[0], labels, pair[1], labels, seed=1)


def test_inputs_of_different_shapes_are_refused() -> None:
    values, labels = inputs(30, 0.0, 1)
    with pytest.raises(errors.ShapeMismatch, match="inputs"):
        reference_check(values[..., :4], labels, values, labels, seed=1)
