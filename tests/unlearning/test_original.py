"""Kept answers of the original model: no other result, and no other model's answers."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from workers.unlearning.config import LotusConfig
from workers.unlearning.data import LabelledSet, OriginalAnswers, UnlearningData
from workers.unlearning.errors import NonFiniteLogits, ShapeMismatch
from workers.unlearning.methods import REGISTRY
from workers.unlearning.original import NotTheOriginal, original_answers
from workers.unlearning.views import View

CLASSES = 3


def rows(count: int, seed: int) -> LabelledSet:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 1, 6, 6), generator=generator, dtype=torch.uint8)
    return LabelledSet(images, torch.arange(count) % CLASSES)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, CLASSES)
    ).eval()


def data(view: View | None = None) -> UnlearningData:
    return UnlearningData(rows(12, 1), rows(40, 2), rows(30, 3), CLASSES, view or View())


def config(mode: str = "paper", **settings: object) -> LotusConfig:
    if mode != "guided":
        settings = {"class_matched": False, "smoothing": 0.0, **settings}
    chosen = {"mode": mode, "epochs": 3, "batch_size": 8, "retain_fraction": 0.5, **settings}
    return LotusConfig.from_dict(chosen)


def unlearned(given: UnlearningData, chosen: LotusConfig) -> dict[str, torch.Tensor]:
    model = network()
    list(REGISTRY["lotus"].unlearn(model, given, chosen, torch.Generator().manual_seed(5)))
    return model.state_dict()


@pytest.mark.parametrize("mode", ["paper", "released", "guided"])
@pytest.mark.parametrize("view", [View(), View(flip=True)])
def test_kept_answers_change_no_bit_of_the_result(mode: str, view: View) -> None:
    given, chosen = data(view), config(mode)
    kept = replace(given, original=original_answers(network(), given, chosen))
    asked, answered = unlearned(given, chosen), unlearned(kept, chosen)
    assert all(torch.equal(asked[name], answered[name]) for name in asked)


def test_the_teacher_is_not_asked_again_about_rows_that_never_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from workers.unlearning import evaluation
    from workers.unlearning.methods import lotus

    given, chosen = data(), config()
    kept = replace(given, original=original_answers(network(), given, chosen))
    asked: list[int] = []

    def counting(model: nn.Module, inputs: torch.Tensor, **settings: object) -> torch.Tensor:
        asked.append(len(inputs))
        return evaluation.predict(model, inputs, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(lotus, "predict", counting)
    unlearned(given, chosen)
    assert asked == [12 + 20]
    asked.clear()
    unlearned(kept, chosen)
    assert asked == []


def test_answers_of_another_model_are_refused_and_no_weight_moves() -> None:
    given, chosen = data(), config()
    other = replace(given, original=original_answers(network(seed=1), given, chosen))
    model = network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(NotTheOriginal, match="8 of 8 validation rows"):
        list(REGISTRY["lotus"].unlearn(model, other, chosen, torch.Generator()))
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_answers_about_other_rows_or_that_are_no_numbers_are_refused() -> None:
    given = data()
    right = original_answers(network(), given, config())
    with pytest.raises(ShapeMismatch, match="retain"):
        replace(given, original=replace(right, retain=right.retain[1:]))
    bad = right.forget.clone()
    bad[3, 0] = torch.nan
    with pytest.raises(NonFiniteLogits, match="1 of 12"):
        replace(given, original=OriginalAnswers(bad, right.retain, right.validation))
