"""Gradients by weight, masks, and weights that are held."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.unlearning.data import LabelledSet
from workers.unlearning.errors import NonFiniteGradient, NonFiniteLoss
from workers.unlearning.saliency import (
    hold_outside,
    largest,
    mean_gradient,
    squared_batch_gradients,
    squared_sample_gradients,
)
from workers.unlearning.settings import MethodConfig
from workers.unlearning.training import Training
from workers.unlearning.views import View


def network() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(16, 3),
    )  # fmt: skip
    model(torch.randn(20, 1, 4, 4))  # running statistics other than the first ones
    return model.eval()


def training_of(model: nn.Module, view: View | None = None) -> Training:
    return Training.of(model, view or View(), MethodConfig(), torch.Generator().manual_seed(0))


def pictures(count: int) -> LabelledSet:
    generator = torch.Generator().manual_seed(1)
    return LabelledSet(
        torch.randn(count, 1, 4, 4, generator=generator),
        torch.randint(3, (count,), generator=generator),
    )


def gradients_of(model: nn.Module, samples: LabelledSet) -> dict[str, Tensor]:
    twin = copy.deepcopy(model)
    F.cross_entropy(twin(samples.inputs), samples.labels).backward()
    return {name: p.grad for name, p in twin.named_parameters() if p.grad is not None}


def test_the_mean_gradient_does_not_depend_on_the_batches_and_changes_no_bit() -> None:
    model, samples = network(), pictures(10)
    before = copy.deepcopy(model.state_dict())
    view = View(flip=True, crop_padding=1)  # augmentation is for training
    found = mean_gradient(training_of(model, view), samples, batch_size=4)
    expected = gradients_of(model, samples)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-6), name
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_squares_of_batches_are_those_of_their_mean_gradients() -> None:
    model, samples = network(), pictures(6)
    training = training_of(model)
    found = squared_batch_gradients(training, samples, batch_size=3)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    halves = [gradients_of(model, samples.select(rows)) for rows in (order[:3], order[3:])]
    for name, value in found.items():
        expected = (halves[0][name] ** 2 + halves[1][name] ** 2) / 2
        assert torch.allclose(value, expected, atol=1e-6), name


def test_squares_of_samples_are_those_of_single_samples_without_dropout() -> None:
    model, samples = network(), pictures(5)
    found = squared_sample_gradients(training_of(model.train()), samples)
    model.eval()
    single = [gradients_of(model, samples.select(torch.tensor([i]))) for i in range(5)]
    for name, value in found.items():
        expected = sum((one[name] ** 2 for one in single), torch.zeros(())) / 5
        assert torch.allclose(value, expected, atol=1e-6), name


def test_frozen_parameters_have_no_gradient() -> None:
    model = network()
    model.get_parameter("0.weight").requires_grad_(False)
    training, samples = training_of(model), pictures(4)
    for found in (
        mean_gradient(training, samples, 2),
        squared_batch_gradients(training, samples, 2),
        squared_sample_gradients(training, samples),
    ):
        assert "0.weight" not in found and "0.bias" in found


def test_a_loss_that_is_not_finite_is_refused() -> None:
    model = network()
    with torch.no_grad():
        model.get_parameter("5.bias").fill_(float("nan"))
    training, samples = training_of(model), pictures(4)
    with pytest.raises(NonFiniteLoss):
        mean_gradient(training, samples, 2)
    with pytest.raises(NonFiniteLoss):
        squared_batch_gradients(training, samples, 2)
    with pytest.raises(NonFiniteLoss):
        squared_sample_gradients(training, samples)


def test_the_largest_are_ranked_over_all_tensors_together() -> None:
    saliency = {"a": torch.tensor([[0.1, 0.9], [0.8, 0.0]]), "b": torch.tensor([0.5, 0.2])}
    mask = largest(saliency, 0.5)
    assert mask["a"].tolist() == [[False, True], [True, False]]
    assert mask["b"].tolist() == [True, False]


def test_the_share_is_exact_where_values_are_equal() -> None:
    mask = largest({"a": torch.zeros(5), "b": torch.zeros(5)}, 0.7)
    assert mask["a"].tolist() == [True] * 5
    assert mask["b"].tolist() == [True, True, False, False, False]
    assert bool(largest({"a": torch.zeros(3)}, 1.0)["a"].all())


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_held_weights_stay_bit_equal_under_momentum_and_decay(name: str) -> None:
    model = nn.Linear(2, 2)
    start = copy.deepcopy(model.state_dict())
    if name == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.5
        )
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    hold_outside(optimizer, model, {"weight": torch.tensor([[True, False], [False, True]])})
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.ones(3, 2)).square().sum().backward()
        optimizer.step()
    moved = model.weight != start["weight"]
    assert moved.tolist() == [[True, False], [False, True]]
    assert torch.equal(model.bias, start["bias"])  # not named by the mask


class Kinked(nn.Module):
    """Finite answers whose gradient is not: the slope of a square root at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (1.0 + (self.weight**2).sqrt())


def test_a_gradient_that_is_not_finite_is_no_sign_of_little_importance() -> None:
    samples = LabelledSet(torch.eye(2), torch.tensor([0, 1]))
    training = Training.of(Kinked().eval(), View(), MethodConfig(), torch.Generator())
    for measure in (
        lambda: mean_gradient(training, samples, 2),
        lambda: squared_batch_gradients(training, samples, 2),
        lambda: squared_sample_gradients(training, samples),
    ):
        with pytest.raises(NonFiniteGradient, match="1 of 1"):
            measure()
