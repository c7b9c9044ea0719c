import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tests.unlearning.methods.cases import Case, largest_difference, loss, unlearn
from workers.unlearning.data import LabelledSet
from workers.unlearning.evaluation import predict
from workers.unlearning.methods import unsir
from workers.unlearning.methods.unsir import UnsirConfig, noise_objective
from workers.unlearning.training import Training
from workers.unlearning.views import View


def whole_class(case: Case, label: int) -> Case:
    both = case.data.forget.followed_by(case.data.retain)
    of_class = both.labels == label
    data = replace(case.data, forget=both.select(of_class), retain=both.select(~of_class))
    return Case(case.model, data)


def test_the_noise_objective_is_low_for_a_high_loss_and_small_noise() -> None:
    logits, labels = torch.zeros(2, 2), torch.tensor([0, 1])
    noise = torch.tensor([[1.0, 2.0], [0.0, 3.0]])
    # squared norms 5 and 9; the loss of even odds is ln 2
    expected = 0.1 * 7.0 - math.log(2.0)
    assert float(noise_objective(logits, labels, noise, 0.1)) == pytest.approx(expected, rel=1e-5)


def test_learned_noise_is_what_the_network_finds_hardest_to_call_by_the_forget_classes(
    case: Case,
) -> None:
    forgetting = whole_class(case, 1)
    student = copy.deepcopy(case.model)
    config = UnsirConfig(batch_size=16, noise_steps=30, noise_penalty=0.01)
    generator = torch.Generator().manual_seed(0)
    training = Training.of(student, View(), config, generator)
    noise = unsir._learn_noise(training, forgetting.data, config)
    start = torch.randn(noise.inputs.shape, generator=torch.Generator().manual_seed(0))
    assert noise.labels.tolist() == [1] * 16
    learned, at_first = (
        float(F.cross_entropy(predict(student, inputs), noise.labels))
        for inputs in (noise.inputs, start)
    )
    assert learned > at_first + 3.0
    # Neither a weight nor a running statistic moved, and every weight can learn again.
    assert largest_difference(student, case.model) == 0.0
    assert all(p.requires_grad and p.grad is None for p in student.parameters())


def test_there_is_noise_for_every_class_of_the_forget_set_and_no_other(images: Case) -> None:
    kept = images.data.forget.labels != 1
    data = replace(images.data, forget=images.data.forget.select(kept))
    config = UnsirConfig(batch_size=4, noise_steps=1)
    training = Training.of(
        copy.deepcopy(images.model), View(), config, torch.Generator().manual_seed(0)
    )
    noise = unsir._learn_noise(training, data, config)
    assert noise.labels.tolist() == [0, 0, 0, 0, 2, 2, 2, 2]
    assert noise.inputs.shape == (8, 1, 6, 6)


def test_of_the_forget_set_nothing_but_its_classes_is_read(images: Case) -> None:
    student, _ = unlearn("unsir", images)
    blank = LabelledSet(0 * images.data.forget.inputs, images.data.forget.labels)
    other, _ = unlearn("unsir", Case(images.model, replace(images.data, forget=blank)))
    assert largest_difference(student, other) == 0.0


def test_the_subset_holds_so_many_rows_of_every_class_that_is_left(images: Case) -> None:
    forgetting = whole_class(images, 2).data
    subset = unsir._retain_subset(forgetting, 25, torch.Generator().manual_seed(0))
    assert torch.bincount(subset.labels, minlength=3).tolist() == [25, 25, 0]
    everything = unsir._retain_subset(forgetting, 1_000, torch.Generator().manual_seed(0))
    assert len(everything) == len(forgetting.retain)


def test_a_whole_class_is_impaired_and_the_rest_repaired(case: Case) -> None:
    forgetting = whole_class(case, 0)
    student, epochs = unlearn(
        "unsir", forgetting, noise_copies=2, batch_size=32, noise_steps=20, repair_epochs=8
    )
    before = loss(copy.deepcopy(case.model), forgetting.data.forget)
    assert loss(student, forgetting.data.forget) > before + 1.0
    retain = predict(student, forgetting.data.retain.inputs).argmax(dim=1)
    assert float((retain == forgetting.data.retain.labels).double().mean()) > 0.8
    assert [epoch.number for epoch in epochs] == list(range(1, 10))


def test_every_noise_input_is_read_as_often_as_asked(images: Case) -> None:
    # 3 classes of 24 inputs, 5 times, and 40 rows of each of 3 classes at most, in batches of 24
    _, epochs = unlearn("unsir", images, noise_copies=5)
    subset = sum(min(40, count) for count in torch.bincount(images.data.retain.labels).tolist())
    assert epochs[0].steps == math.ceil((3 * 24 * 5 + subset) / 24)
