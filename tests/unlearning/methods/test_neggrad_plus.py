import copy

import pytest
import torch
from torch import nn

from tests.unlearning.methods.cases import Case, loss, one_of_each, unlearn
from workers.unlearning.data import UnlearningData
from workers.unlearning.methods import REGISTRY
from workers.unlearning.methods.neggrad_plus import NegGradPlusConfig, signed_weights


def test_row_weights_give_the_retain_mean_minus_the_forget_mean() -> None:
    weights = signed_weights(2, 1, retain_weight=0.95)
    # .95 * 3 / 2 and -.05 * 3
    assert weights.tolist() == pytest.approx([1.425, 1.425, -0.15])
    losses = torch.tensor([1.0, 3.0, 10.0])
    assert float((weights * losses).mean()) == pytest.approx(0.95 * 2.0 - 0.05 * 10.0)


def test_one_step_is_the_one_computed_by_hand() -> None:
    # Logits 0, so the softmax is .5, .5 and the gradient of a row (p - onehot) x. b = .8, rate 1:
    # retain x = (1, 0) moves the first column by .8 * .5, forget x = (0, 1) the second by -.2 * .5.
    model = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(model.weight)
    retain, forget = one_of_each([[1.0, 0.0]], [0]), one_of_each([[0.0, 1.0]], [0])
    data = UnlearningData(forget, retain, retain, 2)
    config = NegGradPlusConfig(
        epochs=1, learning_rate=1.0, retain_weight=0.8, momentum=0.0, weight_decay=0.0
    )
    list(REGISTRY["neggrad_plus"].unlearn(model, data, config, torch.Generator().manual_seed(0)))
    expected = torch.tensor([[0.4, -0.1], [-0.4, 0.1]])
    assert torch.allclose(model.weight, expected, atol=1e-6)


def test_pure_ascent_raises_the_forget_loss_in_every_epoch(case: Case) -> None:
    student = copy.deepcopy(case.model)
    # Ascent has no bound: at larger rates rounding alone decides how far it gets, and when it ends.
    config = NegGradPlusConfig(epochs=3, batch_size=32, learning_rate=0.01, retain_weight=0.0)
    losses = [loss(student, case.data.forget)]
    for _ in REGISTRY["neggrad_plus"].unlearn(
        student, case.data, config, torch.Generator().manual_seed(7)
    ):
        losses.append(loss(student, case.data.forget))
    assert losses == sorted(losses)
    assert losses[-1] > losses[0] + 0.05


def test_the_forget_loss_rises_more_than_the_retain_loss(case: Case) -> None:
    student, _ = unlearn("neggrad_plus", case, retain_weight=0.8, epochs=5)
    rise = {
        name: loss(student, samples) - loss(copy.deepcopy(case.model), samples)
        for name, samples in case.data.sets().items()
    }
    assert rise["forget"] > 0.0
    assert rise["forget"] > rise["retain"]


def test_running_statistics_stay_bit_equal_while_scale_and_shift_learn(images: Case) -> None:
    student, _ = unlearn("neggrad_plus", images)
    before, after = images.model.state_dict(), student.state_dict()
    for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        assert torch.equal(before[name], after[name])
    assert not torch.equal(before["1.weight"], after["1.weight"])


def test_every_batch_of_the_retain_set_is_one_step(images: Case) -> None:
    # 120 retain rows in batches of 32 are 4; 40 forget rows are 2 batches, read twice an epoch
    _, epochs = unlearn("neggrad_plus", images)
    assert [epoch.steps for epoch in epochs] == [4, 8, 12]
