import copy
import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.unlearning.methods.cases import Case, largest_difference, loss, one_of_each, unlearn
from workers.unlearning.data import UnlearningData
from workers.unlearning.methods import REGISTRY
from workers.unlearning.methods.ssd import SsdConfig, dampening_factor


def test_a_weight_shrinks_only_if_it_matters_alpha_times_more_to_the_forget_set() -> None:
    forget = torch.tensor([11.0, 10.0, 40.0, 0.0, 5.0])
    everything = torch.tensor([1.0, 1.0, 2.0, 0.0, 0.0])
    factor = dampening_factor(forget, everything, alpha=10.0, dampening=1.0)
    assert factor.tolist() == pytest.approx([1 / 11, 1.0, 0.05, 1.0, 0.0])
    weaker = dampening_factor(forget, everything, alpha=10.0, dampening=5.0)
    assert weaker.tolist() == pytest.approx([5 / 11, 1.0, 0.25, 1.0, 0.0])


def test_no_weight_ever_grows() -> None:
    factor = dampening_factor(torch.tensor([11.0]), torch.tensor([1.0]), 10.0, dampening=20.0)
    assert factor.tolist() == [1.0]


class TwoWeights(nn.Module):
    """Logits (w1 x1, w2 x2)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((2,), math.log(3.0)))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x


@pytest.mark.parametrize("squared", ["batch", "sample"])
def test_two_weights_are_dampened_as_computed_by_hand(squared: str) -> None:
    # A forget sample x = (1, 0), y = 0: softmax .75, .25, gradient (-.25, 0), importance
    # (1/16, 0). Three retain samples x = (0, 1), y = 1 give (0, 1/16). Over all four: (1/64, 3/64).
    # alpha = 2: 1/16 > 2/64, so the first weight is multiplied by (1/64) / (1/16) = 1/4.
    forget = one_of_each([[1.0, 0.0]], [0])
    retain = one_of_each([[0.0, 1.0]] * 3, [1, 1, 1])
    model = TwoWeights().eval()
    config = SsdConfig(alpha=2.0, batch_size=1, squared=squared)
    data = UnlearningData(forget, retain, retain, 2)
    (epoch,) = REGISTRY["ssd"].unlearn(model, data, config, torch.Generator().manual_seed(0))
    assert model.weight.tolist() == pytest.approx([math.log(3.0) / 4, math.log(3.0)])
    assert epoch.loss is None and epoch.steps == 0 and epoch.planned_epochs == 1


def passes(case: Case, squared: str) -> list[int]:
    """Rows of every pass with gradients; a function mapped over samples is called with one."""
    student = copy.deepcopy(case.model)
    seen: list[int] = []
    student.register_forward_pre_hook(
        lambda _, inputs: seen.append(len(inputs[0])) if torch.is_grad_enabled() else None
    )
    config = SsdConfig(alpha=1.0, batch_size=16, squared=squared)
    list(REGISTRY["ssd"].unlearn(student, case.data, config, torch.Generator().manual_seed(0)))
    return seen


def test_importances_are_computed_once(images: Case) -> None:
    # D_f without its shorter last batch, then D
    assert passes(images, "batch") == [16] * 2 + [16] * 10
    assert passes(images, "sample") == [1, 1]  # D_f, then D_r, each in a single call


def test_squares_of_samples_are_those_of_one_sample_after_another(case: Case) -> None:
    # alpha below every ratio and lambda = 1: the factor is min(imp_D / imp_f, 1)
    student, _ = unlearn("ssd", case, squared="sample", alpha=1e-3)
    model, data = copy.deepcopy(case.model), case.data

    def squares(x: Tensor, y: Tensor) -> list[Tensor]:
        total = [torch.zeros_like(p) for p in model.parameters()]
        for i in range(len(x)):
            loss = F.cross_entropy(model(x[i : i + 1]), y[i : i + 1])
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            total = [t + g.square() for t, g in zip(total, gradients, strict=True)]
        return total

    forget = squares(data.forget.inputs, data.forget.labels)
    retain = squares(data.retain.inputs, data.retain.labels)
    for after, before, f, r in zip(
        student.parameters(), model.parameters(), forget, retain, strict=True
    ):
        importance, everything = f / 40, (f + r) / 160
        factor = torch.where(
            importance > 1e-3 * everything, (everything / importance).clamp(max=1), 1.0
        )
        assert torch.allclose(after, before * factor, rtol=1e-3, atol=1e-6)


def test_squares_of_samples_choose_nothing_once_alpha_reaches_n_over_n_forget(
    images: Case,
) -> None:
    unchanged, _ = unlearn("ssd", images, squared="sample", alpha=4.001)  # 160 of which 40 go
    assert largest_difference(unchanged, images.model) == 0.0
    student, _ = unlearn("ssd", images, squared="sample", alpha=2.0)
    assert largest_difference(student, images.model) > 0.0


def test_dampening_raises_the_forget_loss(images: Case) -> None:
    student, _ = unlearn("ssd", images)
    before = copy.deepcopy(images.model)
    assert loss(student, images.data.forget) > loss(before, images.data.forget)


@pytest.mark.parametrize("squared", ["batch", "sample"])
def test_running_statistics_are_not_touched(images: Case, squared: str) -> None:
    student, _ = unlearn("ssd", images, squared=squared)
    for (name, before), after in zip(images.model.named_buffers(), student.buffers(), strict=True):
        assert torch.equal(before, after), name


def test_a_small_forget_set_is_measured_in_batches_of_its_own_size_on_both_sides(
    images: Case,
) -> None:
    """The square of a mean over 3 rows is larger than one over 16, whatever the rows are."""
    few = dataclasses.replace(images.data, forget=images.data.forget.select(torch.arange(3)))
    assert set(passes(dataclasses.replace(images, data=few), "batch")) == {3}
