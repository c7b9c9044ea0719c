import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tests.unlearning.methods.cases import CLASSES, Case, largest_difference, loss, unlearn
from workers.unlearning.data import LabelledSet
from workers.unlearning.methods import bad_teacher
from workers.unlearning.methods.bad_teacher import divergence, teacher_targets


def test_targets_are_the_random_network_s_on_forget_rows_and_the_original_s_elsewhere() -> None:
    incompetent = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    competent = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]])
    targets = teacher_targets(incompetent, competent, torch.tensor([True, False]), 1.0)
    assert torch.allclose(targets, torch.tensor([[0.5, 0.5], [0.75, 0.25]]))
    softened = teacher_targets(incompetent, 2 * competent, torch.tensor([False, True]), 2.0)
    assert torch.allclose(softened, torch.tensor([[0.75, 0.25], [0.5, 0.5]]))


def test_the_divergence_is_that_of_the_student_from_the_targets() -> None:
    targets = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    logits = torch.zeros(2, 2)
    # KL of the first row: .75 ln 1.5 + .25 ln .5; the second row agrees
    expected = (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2
    assert float(divergence(targets, logits, 1.0)) == pytest.approx(expected, rel=1e-6)
    assert float(divergence(targets, 5 * logits + 1, 3.0)) == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Arguments of every step that is taken."""
    taken: list[tuple[Any, ...]] = []
    original = bad_teacher._step

    def noting(*args: Any) -> None:
        taken.append(args)
        original(*args)

    monkeypatch.setattr(bad_teacher, "_step", noting)
    return taken


def test_one_teacher_is_the_original_and_the_other_knows_nothing(
    images: Case, steps: list[tuple[Any, ...]]
) -> None:
    unlearn("bad_teacher", images)
    incompetent, competent = steps[0][2]
    assert largest_difference(competent, images.model) == 0.0  # still, after the run
    pairs = zip(incompetent.named_parameters(), images.model.parameters(), strict=True)
    for (name, random), trained in pairs:
        assert not torch.equal(random, trained), name
    assert loss(incompetent, images.data.forget) > 0.8 * math.log(CLASSES)
    for teacher in (incompetent, competent):
        assert not any(module.training for module in teacher.modules())
        assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_all_of_the_forget_set_and_three_tenths_of_the_retain_set_take_part(
    images: Case, steps: list[tuple[Any, ...]]
) -> None:
    _, epochs = unlearn("bad_teacher", images, epochs=1)
    rows = torch.cat([args[4] for args in steps])
    is_forget = torch.cat([args[5] for args in steps])
    assert sorted(rows.tolist()) == list(range(40 + 36))
    assert torch.equal(is_forget, rows < 40)
    assert torch.equal(steps[0][3].inputs[:40], images.data.forget.inputs)
    assert epochs[-1].steps == 3


def test_no_label_is_read(images: Case) -> None:
    student, _ = unlearn("bad_teacher", images)

    def relabelled(samples: LabelledSet) -> LabelledSet:
        return LabelledSet(samples.inputs, (samples.labels + 1) % CLASSES)

    data = replace(
        images.data,
        forget=relabelled(images.data.forget),
        retain=relabelled(images.data.retain),
    )
    other, _ = unlearn("bad_teacher", Case(images.model, data))
    assert largest_difference(student, other) == 0.0


def test_the_student_comes_closer_to_the_random_network_on_forget_samples_only(
    case: Case, steps: list[tuple[Any, ...]]
) -> None:
    def away(model: nn.Module, teacher: nn.Module, samples: LabelledSet) -> float:
        with torch.no_grad():
            targets = torch.softmax(teacher(samples.inputs), dim=1)
            return float(divergence(targets, model.eval()(samples.inputs), 1.0))

    student, _ = unlearn("bad_teacher", case, epochs=15)
    incompetent, competent = steps[0][2]
    forget, retain = case.data.forget, steps[0][3].select(torch.arange(40, 76))
    assert away(student, incompetent, forget) < 0.7 * away(competent, incompetent, forget)
    assert away(student, competent, retain) < away(student, competent, forget)
