"""The API's view of a method's settings is the method's own."""

from dataclasses import fields
from typing import Any

import pytest
from pydantic import ValidationError

from app.registry.policy import LotusSettings, Mode, Policy, TrainingRecipe
from workers.unlearning import config
from workers.unlearning.config import LotusConfig
from workers.unlearning.methods.retrain import RetrainConfig
from workers.unlearning.settings import InvalidConfig, MethodConfig

BOUNDS: dict[str, tuple[Any, Any]] = {
    field.name: field.metadata["bounds"]
    for field in fields(LotusConfig)
    if "bounds" in field.metadata
}
RECIPE = {"optimizer": "sgd", "learning_rate": 0.1, "epochs": 2, "batch_size": 8}


def test_every_setting_of_the_method_can_be_set_and_no_other() -> None:
    own = {field.name for field in fields(LotusConfig)} - {"mode"}

    assert set(LotusSettings.__annotations__) == own
    assert {mode.value for mode in Mode} == {mode.value for mode in config.Mode}


@pytest.mark.parametrize("name", BOUNDS)
def test_both_sides_draw_the_same_bounds(name: str) -> None:
    low, high = BOUNDS[name]
    step = 1 if isinstance(low, int) else 1e-9 + high * 1e-9
    for value in (low, high, low - step, high + step):
        accepted = low <= value <= high
        assert _accepts(lambda v=value: LotusConfig(**{name: v})) is accepted
        assert _accepts(lambda v=value: Policy(settings={name: v})) is accepted


def test_a_training_recipe_is_a_config_of_exact_retraining() -> None:
    recipe = TrainingRecipe.model_validate({**RECIPE, "momentum": 0.9, "schedule": "cosine"})
    known = recipe.model_dump(exclude={"seed"})

    assert set(known) == {f.name for f in fields(RetrainConfig)} - {
        f.name for f in fields(MethodConfig)
    }
    assert RetrainConfig.from_dict(known).schedule == "cosine"


@pytest.mark.parametrize("name", ["learning_rate", "momentum", "weight_decay", "batch_size"])
def test_a_recipe_draws_the_bounds_of_exact_retraining(name: str) -> None:
    (low, high) = next(f.metadata["bounds"] for f in fields(RetrainConfig) if f.name == name)
    step = 1 if isinstance(low, int) else 1e-10 + high * 1e-9
    for value in (low, high, low - step, high + step):
        accepted = low <= value <= high
        assert _accepts(lambda v=value: RetrainConfig(**{name: v})) is accepted
        recipe = {**RECIPE, name: value}
        assert _accepts(lambda r=recipe: TrainingRecipe.model_validate(r)) is accepted


def _accepts(make: Any) -> bool:
    try:
        make()
    except (InvalidConfig, ValidationError):
        return False
    return True


def test_an_empty_policy_holds_the_defaults() -> None:
    policy = Policy.model_validate({}).model_dump(mode="json")

    assert {name: policy[name] for name in ("coalesce_seconds", "method", "mode", "settings")} == {
        "coalesce_seconds": None,
        "method": "lotus",
        "mode": "guided",
        "settings": {},
    }
    assert policy["verification"]["delta_auc"] == 0.1
    assert policy["verification"]["delta_band"] == 0.15
    assert policy["verification"]["alpha"] == 0.01


@pytest.mark.parametrize(
    "verification",
    [{"delta_auc": float("nan")}, {"alpha": 0}, {"delta_band": 1.1}, {"unknown": 1}, [1]],
)
def test_thresholds_have_names_and_bounds(verification: Any) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate({"verification": verification})
