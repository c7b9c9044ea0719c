import copy

import pytest
import torch
from torch import Tensor

from tests.unlearning.methods.cases import CLASSES, Case, loss, unlearn
from workers.unlearning.data import LabelledSet
from workers.unlearning.methods import random_label
from workers.unlearning.methods.random_label import wrong_labels
from workers.unlearning.training import supervised_epoch


def test_no_sample_gets_its_own_label_and_every_other_one_is_as_likely() -> None:
    labels = torch.arange(4).repeat(3_000)
    wrong = wrong_labels(labels, 4, torch.Generator().manual_seed(0))
    counts = torch.zeros(4, 4).index_put_((labels, wrong), torch.ones(()), accumulate=True)
    assert counts.diagonal().tolist() == [0.0] * 4
    off = counts[~torch.eye(4, dtype=torch.bool)]  # twelve cells of 1,000 expected
    chi_square = float(((off - 1_000) ** 2 / 1_000).sum())
    assert chi_square < 26.1  # .999 quantile at 8 degrees of freedom


def test_of_two_classes_the_wrong_label_is_the_other_one() -> None:
    labels = torch.tensor([0, 1, 1, 0])
    assert wrong_labels(labels, 2, torch.Generator()).tolist() == [1, 0, 0, 1]


def test_labels_are_drawn_once_and_the_retain_set_keeps_its_own(
    images: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def noting(training: object, optimizer: object, samples: LabelledSet, size: int) -> None:
        seen.append(samples.labels.clone())
        supervised_epoch(training, optimizer, samples, size)  # type: ignore[arg-type]

    monkeypatch.setattr(random_label, "supervised_epoch", noting)
    unlearn("random_label", images)
    assert len(seen) == 3
    assert all(torch.equal(labels, seen[0]) for labels in seen)
    forget, retain = seen[0][:40], seen[0][40:]
    assert torch.equal(retain, images.data.retain.labels)
    assert not bool((forget == images.data.forget.labels).any())
    assert len(torch.unique(forget)) == CLASSES


def test_the_forget_loss_rises_far_more_than_the_retain_loss(case: Case) -> None:
    student, epochs = unlearn("random_label", case, epochs=10)
    forget, retain = (
        loss(student, samples) - loss(copy.deepcopy(case.model), samples)
        for samples in (case.data.forget, case.data.retain)
    )
    assert forget > 0.2
    assert forget > 2 * retain
    assert epochs[-1].steps == 10 * 5  # 160 rows in batches of 32
