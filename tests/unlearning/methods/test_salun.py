import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.unlearning.methods.cases import Case, loss, unlearn
from workers.unlearning.data import LabelledSet
from workers.unlearning.methods import salun
from workers.unlearning.training import supervised_epoch


def gradient_sizes(model: nn.Module, samples: LabelledSet) -> Tensor:
    """|gradient of the mean loss| of every weight, as one row."""
    network = copy.deepcopy(model).eval()
    F.cross_entropy(network(samples.inputs), samples.labels).backward()
    return torch.cat([p.grad.abs().flatten() for p in network.parameters() if p.grad is not None])


def weights_of(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_half_with_the_largest_forget_gradient_moves_and_the_rest_stays_bit_equal(
    case: Case,
) -> None:
    student, _ = unlearn("salun", case, momentum=0.9, weight_decay=0.1)
    sizes = gradient_sizes(case.model, case.data.forget)
    largest = torch.zeros(len(sizes), dtype=torch.bool)
    largest[sizes.argsort(descending=True, stable=True)[: round(len(sizes) / 2)]] = True
    moved = weights_of(student) != weights_of(case.model)
    assert not bool(moved[~largest].any())
    # A weight inside the mask may come back to its old value by chance, or be a dead unit's.
    assert int(moved.sum()) > 0.95 * int(largest.sum())


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_the_mask_lets_its_share_of_weights_move(images: Case, share: float) -> None:
    student, _ = unlearn("salun", images, mask_share=share)
    moved = weights_of(student) != weights_of(images.model)
    assert float(moved.double().mean()) == pytest.approx(share, abs=0.02)


def test_the_mask_holds_in_every_epoch(images: Case) -> None:
    one, _ = unlearn("salun", images, epochs=1)
    many, _ = unlearn("salun", images, epochs=6)
    original = weights_of(images.model)
    first, last = (weights_of(model) != original for model in (one, many))
    assert torch.equal(first, last)


def test_running_statistics_follow_the_training(images: Case) -> None:
    student, _ = unlearn("salun", images, mask_share=0.01)
    before, after = images.model.state_dict(), student.state_dict()
    assert not torch.equal(before["1.running_mean"], after["1.running_mean"])


def test_forget_labels_are_wrong_and_drawn_anew_while_the_retain_set_keeps_its_own(
    images: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def noting(training: object, optimizer: object, samples: LabelledSet, size: int) -> None:
        seen.append(samples.labels.clone())
        supervised_epoch(training, optimizer, samples, size)  # type: ignore[arg-type]

    monkeypatch.setattr(salun, "supervised_epoch", noting)
    unlearn("salun", images)
    assert len(seen) == 3
    for labels in seen:
        assert torch.equal(labels[40:], images.data.retain.labels)
        assert not bool((labels[:40] == images.data.forget.labels).any())
    assert not torch.equal(seen[0], seen[1])


def test_the_forget_loss_rises_more_than_the_retain_loss(case: Case) -> None:
    student, _ = unlearn("salun", case, epochs=10)
    before = copy.deepcopy(case.model)
    forget, retain = (
        loss(student, samples) - loss(before, samples)
        for samples in (case.data.forget, case.data.retain)
    )
    assert forget > 0.1
    assert forget > 2 * retain
