"""What every baseline owes: `methods.Method`."""

import copy
import dataclasses
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.unlearning.methods.cases import (
    CLASSES,
    SETTINGS,
    Case,
    largest_difference,
    unlearn,
)
from workers.unlearning.data import LabelledSet
from workers.unlearning.errors import NonFiniteLoss
from workers.unlearning.methods import REGISTRY
from workers.unlearning.settings import InvalidConfig
from workers.unlearning.views import View

METHODS = sorted(SETTINGS)


def started(name: str, student: nn.Module, case: Case, **settings: Any) -> Any:
    method = REGISTRY[name]
    config = method.config_type(**{**SETTINGS[name], **settings})
    return method.unlearn(student, case.data, config, torch.Generator().manual_seed(7))


@pytest.mark.parametrize("name", METHODS)
def test_the_weights_change_and_the_model_is_left_in_eval_mode_and_float32(
    name: str, case: Case
) -> None:
    student, epochs = unlearn(name, case)
    moved = [
        not torch.equal(a, b)
        for a, b in zip(student.parameters(), case.model.parameters(), strict=True)
    ]
    assert all(moved) or name in {"ssd", "salun", "rbm"}  # these choose weights one by one
    assert any(moved)
    assert not any(module.training for module in student.modules())
    assert {value.dtype for value in student.parameters()} == {torch.float32}
    assert all(value.requires_grad for value in student.parameters())
    assert [epoch.number for epoch in epochs] == list(range(1, epochs[-1].planned_epochs + 1))


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_bit_equal_weights_and_another_seed_others(
    name: str, images: Case
) -> None:
    torch.manual_seed(1)
    first, _ = unlearn(name, images)
    state = torch.get_rng_state()
    again, _ = unlearn(name, images)
    assert torch.equal(torch.get_rng_state(), state)
    assert largest_difference(first, again) == 0.0
    other, _ = unlearn(name, images, seed=8)
    assert largest_difference(first, other) > 0.0


@pytest.mark.parametrize("name", METHODS)
def test_closing_the_iterator_early_gives_the_original_weights_back(
    name: str, images: Case
) -> None:
    student = copy.deepcopy(images.model)
    epochs = started(name, student, images)
    next(epochs)
    assert largest_difference(student, images.model) > 0.0
    epochs.close()
    assert largest_difference(student, images.model) == 0.0
    assert not student.training


class Exploding(nn.Module):
    """Gives NaN from its n-th pass with gradients on; measurements have none."""

    def __init__(self, inner: nn.Module, passes: int) -> None:
        super().__init__()
        self.inner = inner
        self.left = passes

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)
        if torch.is_grad_enabled():
            self.left -= 1
        return logits * float("nan") if self.left < 0 and torch.is_grad_enabled() else logits


@pytest.mark.parametrize("name", METHODS)
def test_a_loss_that_is_not_finite_in_the_middle_ends_the_run_and_keeps_nothing(
    name: str, images: Case
) -> None:
    counted = Exploding(copy.deepcopy(images.model), 1_000_000)
    total_epochs = len(list(started(name, counted, images)))
    passes = 1_000_000 - counted.left
    student = Exploding(copy.deepcopy(images.model), passes - 1)
    epochs = started(name, student, images)
    seen = []
    with pytest.raises(NonFiniteLoss):
        seen.extend(epochs)
    assert largest_difference(student, Exploding(images.model, 0)) == 0.0
    # The last pass with gradients spoils the last epoch: those before it were reported.
    assert len(seen) == total_epochs - 1
    with pytest.raises(NonFiniteLoss):
        list(started(name, Exploding(copy.deepcopy(images.model), 0), images))


class SmallMemory(nn.Module):
    """Runs out of memory where gradients of more than 12 rows are asked for."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.refused = 0

    def forward(self, x: Tensor) -> Tensor:
        learning = torch.is_grad_enabled() and next(self.inner.parameters()).requires_grad
        if learning and len(x) > 12:
            self.refused += 1
            raise torch.OutOfMemoryError("12 rows fit")
        logits: Tensor = self.inner(x)
        return logits


@pytest.mark.parametrize("name", METHODS)
def test_halved_batches_give_the_weights_of_whole_ones(name: str, features: Case) -> None:
    # At SCRUB's first ascent student and teacher are the same model: its gradient is rounding
    # alone, whose signs differ from processor to processor, and Adam makes whole steps of it.
    settings = {"max_epochs": 0} if name == "scrub" else {}
    whole, _ = unlearn(name, features, **settings)
    halved = SmallMemory(copy.deepcopy(features.model))
    list(started(name, halved, features, **settings))
    assert halved.refused >= 1
    assert largest_difference(halved.inner, whole) <= 1e-4  # rounding, which Adam amplifies
    assert largest_difference(halved.inner, features.model) > 1e-2


@pytest.mark.parametrize("name", METHODS)
def test_whatever_is_measured_is_measured_in_eval_mode(name: str, images: Case) -> None:
    student = copy.deepcopy(images.model)
    modes = []

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if torch.is_inference_mode_enabled():
            modes.append(module.training)

    for module in student.modules():
        module.register_forward_hook(note)
    list(started(name, student, images))
    assert modes and not any(modes)


@pytest.mark.parametrize("name", METHODS)
def test_augmented_bytes_can_be_unlearned(name: str, images: Case) -> None:
    def stored(samples: LabelledSet) -> LabelledSet:
        pixels = (samples.inputs * 60 + 90).clamp(0, 255).to(torch.uint8)
        return LabelledSet(pixels, samples.labels)

    view = View(mean=(90 / 255,), std=(60 / 255,), flip=True, crop_padding=1)
    data = replace(
        images.data,
        **{name: stored(samples) for name, samples in images.data.sets().items()},
        view=view,
    )
    student, _ = unlearn(name, Case(images.model, data))
    assert largest_difference(student, images.model) > 0.0
    again, _ = unlearn(name, Case(images.model, data))
    assert largest_difference(student, again) == 0.0


@pytest.mark.parametrize("name", METHODS)
def test_a_single_forget_sample_is_enough_for_a_network_with_batch_norm(
    name: str, features: Case
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, CLASSES)
    ).eval()
    data = replace(features.data, forget=features.data.forget.select(torch.tensor([3])))
    student, _ = unlearn(name, Case(model, data))
    assert all(bool(torch.isfinite(value).all()) for value in student.state_dict().values())


@pytest.mark.parametrize("name", METHODS)
def test_a_config_survives_json_and_unknown_settings_are_refused(name: str) -> None:
    config_type = REGISTRY[name].config_type
    config = config_type(**SETTINGS[name])
    assert config_type.from_dict(config.to_dict()) == config
    assert config != config_type()
    with pytest.raises(InvalidConfig, match="momentun"):
        config_type.from_dict({"momentun": 0.9})


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_is_bounded_and_named_when_it_is_refused(name: str) -> None:
    config_type = REGISTRY[name].config_type
    for setting in dataclasses.fields(config_type):
        too_much = "much" if isinstance(setting.default, str | bool) else 1e12
        for wrong in (too_much, None, -1e12, float("nan")):
            with pytest.raises(InvalidConfig, match=f"^{setting.name}: must be"):
                config_type.from_dict({setting.name: wrong})


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("finetune", {"epochs": 10, "learning_rate": 1e-2}),
        ("neggrad_plus", {"epochs": 10, "learning_rate": 1e-2, "retain_weight": 0.95}),
        ("random_label", {"epochs": 3, "learning_rate": 1e-4}),
        (
            "bad_teacher",
            {"epochs": 1, "learning_rate": 1e-4, "batch_size": 256, "temperature": 1.0,
             "retain_fraction": 0.3},
        ),
        (
            "scrub",
            {"epochs": 10, "learning_rate": 5e-4, "alpha": 0.5, "gamma": 1.0, "temperature": 2.0,
             "max_epochs": 3},
        ),
        ("ssd", {"alpha": 10.0, "dampening": 1.0}),
        (
            "unsir",
            {"noise_learning_rate": 0.1, "noise_steps": 40, "impair_learning_rate": 0.02,
             "repair_learning_rate": 0.01},
        ),
        ("salun", {"epochs": 10, "learning_rate": 0.013, "mask_share": 0.5}),
        ("rbm", {"mask_share": 0.5}),
    ],
)  # fmt: skip
def test_defaults_are_the_settings_of_the_original_authors(
    name: str, settings: dict[str, Any]
) -> None:
    defaults = REGISTRY[name].config_type().to_dict()
    assert {key: defaults[key] for key in settings} == settings
