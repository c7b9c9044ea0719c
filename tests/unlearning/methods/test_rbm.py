import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.unlearning.methods.cases import Case, largest_difference, loss, one_of_each, unlearn
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.methods import REGISTRY
from workers.unlearning.methods.rbm import RbmConfig, drop_outside, plan


def weights_of(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_weights_outside_the_mask_become_zero_and_frozen_parameters_stay() -> None:
    model = nn.Linear(2, 1)
    nn.init.constant_(model.weight, 3.0)
    nn.init.constant_(model.bias, 5.0)
    drop_outside(model, {"weight": torch.tensor([[True, False]])})
    assert model.weight.tolist() == [[3.0, 0.0]] and model.bias.tolist() == [5.0]


def test_a_component_that_only_forget_samples_have_is_gone() -> None:
    # Retain samples have no second feature, so no gradient there: its column is dropped, where
    # fine-tuning alone would never touch it.
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, -2.0]]))
    retain = one_of_each([[1.0, 0.0], [-1.0, 0.0]], [0, 1])
    forget = one_of_each([[0.0, 1.0]], [0])
    data = UnlearningData(forget, retain, retain, 2)
    generator = torch.Generator().manual_seed(0)
    tuned, masked = copy.deepcopy(model), copy.deepcopy(model)
    finetune = REGISTRY["finetune"]
    list(finetune.unlearn(tuned, data, finetune.config_type(weight_decay=0.0), generator))
    config = RbmConfig(saliency_fraction=1.0, weight_decay=0.0)
    list(REGISTRY["rbm"].unlearn(masked, data, config, generator))
    assert tuned.weight[:, 1].tolist() == [2.0, -2.0]
    assert masked.weight[:, 1].tolist() == [0.0, 0.0]
    assert masked.weight[0, 0] > 1.0 and masked.weight[1, 0] < -1.0


def test_the_half_with_the_largest_retain_gradient_is_kept_and_the_rest_stays_zero(
    case: Case,
) -> None:
    student, _ = unlearn("rbm", case, saliency_fraction=1.0, momentum=0.9, weight_decay=0.1)
    network, retain = copy.deepcopy(case.model), case.data.retain
    F.cross_entropy(network(retain.inputs), retain.labels).backward()
    sizes = torch.cat([p.grad.abs().flatten() for p in network.parameters() if p.grad is not None])
    kept = torch.zeros(len(sizes), dtype=torch.bool)
    kept[sizes.argsort(descending=True, stable=True)[: round(len(sizes) / 2)]] = True
    after = weights_of(student)
    # The mask is made batch by batch: rounding may swap two weights at its very edge.
    assert int((after[~kept] != 0.0).sum()) <= 1
    assert int((after == 0.0).sum()) == len(sizes) - round(len(sizes) / 2)
    assert int((after[kept] != weights_of(case.model)[kept]).sum()) > 0.95 * int(kept.sum())


def test_the_mask_share_of_the_weights_is_left(images: Case) -> None:
    student, _ = unlearn("rbm", images, mask_share=0.25)
    left = float((weights_of(student) != 0.0).double().mean())
    assert left == pytest.approx(0.25, abs=0.01)


def test_the_forget_set_is_never_read(images: Case) -> None:
    student, _ = unlearn("rbm", images)
    blank = LabelledSet(0 * images.data.forget.inputs, images.data.forget.labels)
    other, _ = unlearn("rbm", Case(images.model, replace(images.data, forget=blank)))
    assert largest_difference(student, other) == 0.0


def test_fine_tuning_brings_the_retain_set_back(case: Case) -> None:
    student, _ = unlearn("rbm", case, epochs=30, learning_rate=0.05)
    generator = torch.Generator().manual_seed(7)
    masked = copy.deepcopy(case.model)
    config = RbmConfig(epochs=1, learning_rate=1e-9, batch_size=32)
    list(REGISTRY["rbm"].unlearn(masked, case.data, config, generator))
    assert loss(student, case.data.retain) < loss(masked, case.data.retain)
    assert loss(student, case.data.retain) < loss(student, case.data.forget)


@pytest.mark.parametrize(("retained", "epochs"), [(1, 40), (400, 20), (1_280, 10), (50_000, 10)])
def test_a_small_set_gets_more_epochs_so_that_forty_steps_are_made(
    retained: int, epochs: int
) -> None:
    assert plan(retained) == replace(RbmConfig(), epochs=epochs)
