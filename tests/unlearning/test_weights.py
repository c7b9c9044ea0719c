"""Copies of a network's state, and BatchNorm's share of it."""

import copy

import pytest
import torch
from torch import nn

from workers.unlearning.weights import (
    batch_norm_frozen,
    fewest_rows,
    frozen_copy,
    recalibrate_batch_norm,
    restored_on_error,
    snapshot,
)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))


def equal(model: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def disturb(model: nn.Module) -> None:
    model.train()(torch.randn(6, 3)).sum().backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()


def test_a_snapshot_does_not_follow_the_model() -> None:
    model = network()
    state, expected = snapshot(model), copy.deepcopy(model.state_dict())
    disturb(model)
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    assert not equal(model, state)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_weights_and_running_statistics_come_back_bit_equal_after_any_error(
    error: type[BaseException],
) -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error), restored_on_error(model):
        disturb(model)
        assert not equal(model, before)
        raise error
    assert equal(model, before)
    assert not model.training


def test_a_block_that_finishes_keeps_its_weights() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    with restored_on_error(model):
        disturb(model)
    assert not equal(model, before)
    assert not model.training


def test_a_teacher_does_not_follow_its_student_and_has_no_gradients() -> None:
    model = network().train()
    teacher = frozen_copy(model)
    before = copy.deepcopy(teacher.state_dict())
    disturb(model)
    assert equal(teacher, before)
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_frozen_batch_norm_keeps_its_statistics_while_its_scale_learns() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with batch_norm_frozen(model):
        assert [module.training for module in model] == [True, False, True, True]
        model(torch.randn(6, 3)).square().sum().backward()
        optimizer.step()
    assert all(module.training for module in model.modules())
    changed = {name for name, value in model.state_dict().items() if
               not torch.equal(before[name], value)}  # fmt: skip
    assert changed >= {"0.weight", "1.weight", "3.weight"}
    assert not any("running" in name or "num_batches" in name for name in changed)


def test_freezing_leaves_layers_in_eval_mode_there() -> None:
    model = network().train()
    model[1].eval()
    with batch_norm_frozen(model):
        assert not model[1].training
    assert not model[1].training


def test_batch_norm_needs_two_rows() -> None:
    assert fewest_rows(network()) == 2
    assert fewest_rows(nn.Linear(2, 2)) == 1


def test_an_error_while_statistics_are_estimated_leaves_the_momentum_as_it_was() -> None:
    layer = nn.BatchNorm1d(2)

    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        recalibrate_batch_norm(Failing(), torch.zeros(4, 2), 2)
    assert layer.momentum == 0.1
    assert not layer.training


def test_no_gradient_of_the_forget_set_stays_on_the_model() -> None:
    model = nn.Linear(2, 2)
    with restored_on_error(model):
        model(torch.ones(1, 2)).sum().backward()
        assert model.weight.grad is not None
    assert model.weight.grad is None
