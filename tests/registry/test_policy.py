"""The API's view of a method's settings is the method's own."""

from dataclasses import fields
from typing import Any

import pytest
from pydantic import ValidationError

from app.registry.method_settings import RETRAIN, SETTINGS, Execution, Method
from app.registry.policy import LadderStep, Mode, Policy, TrainingRecipe
from workers.unlearning import config
from workers.unlearning.methods import REGISTRY
from workers.unlearning.methods.retrain import RetrainConfig
from workers.unlearning.settings import InvalidConfig, MethodConfig

BOUNDS: dict[tuple[Method, str], tuple[Any, Any]] = {
    (method, field.name): field.metadata["bounds"]
    for method in Method
    for field in fields(REGISTRY[method].config_type)
    if "bounds" in field.metadata
}
RECIPE = {"optimizer": "sgd", "learning_rate": 0.1, "epochs": 2, "batch_size": 8}


@pytest.mark.parametrize("method", Method)
def test_every_setting_of_a_method_can_be_set_and_no_other(method: Method) -> None:
    own = {field.name for field in fields(REGISTRY[method].config_type)} - {"mode"}

    assert set(SETTINGS[method].__annotations__) == own


def test_methods_modes_and_execution_are_those_of_the_library() -> None:
    assert {*Method, RETRAIN} <= set(REGISTRY)
    assert {mode.value for mode in Mode} == {mode.value for mode in config.Mode}
    assert set(Execution.__annotations__) == {field.name for field in fields(MethodConfig)}


@pytest.mark.parametrize(("method", "name"), BOUNDS)
def test_both_sides_draw_the_same_bounds(method: Method, name: str) -> None:
    low, high = BOUNDS[method, name]
    step = 1 if isinstance(low, int) else 1e-9 + high * 1e-9
    for value in (low, high, low - step, high + step):
        accepted = low <= value <= high
        assert _accepts(lambda v=value: REGISTRY[method].config_type(**{name: v})) is accepted
        given = {"method": method, "settings": {name: value}}
        assert _accepts(lambda g=given: Policy.model_validate(g)) is accepted


def test_the_settings_of_one_method_are_not_those_of_another() -> None:
    assert _accepts(lambda: Policy.model_validate({"method": "rbm", "settings": {"mask_share": 1}}))
    assert not _accepts(lambda: Policy.model_validate({"settings": {"mask_share": 1}}))
    assert not _accepts(lambda: Policy.model_validate({"method": "noop"}))
    assert not _accepts(lambda: Policy.model_validate({"method": "retrain"}))


@pytest.mark.parametrize("ladder", [[], ["retrain"], ["other_settings", "retrain"]])
def test_the_owner_says_which_rungs_there_are(ladder: list[str]) -> None:
    assert list(Policy.model_validate({"ladder": ladder}).ladder) == ladder


@pytest.mark.parametrize(
    "ladder",
    [["retrain", "other_method"], ["retrain", "retrain"], ["policy"], "retrain", [*LadderStep] * 2],
)
def test_a_ladder_goes_up_and_repeats_nothing(ladder: Any) -> None:
    assert not _accepts(lambda: Policy.model_validate({"ladder": ladder}))


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
    assert policy["ladder"] == ["other_settings", "other_method", "retrain"]
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


@pytest.mark.parametrize(
    "policy",
    [
        {"coalesce_seconds": True},
        {"coalesce_seconds": "60"},
        {"verification": {"delta_auc": "0.45"}},
        {"verification": {"max_accuracy_fall": True}},
        {"settings": {"epochs": "3"}},
        {"settings": {"alpha": True}},
        {"settings": {"steer": 1}},
    ],
)
def test_what_only_looks_like_a_number_is_none(policy: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate(policy)
