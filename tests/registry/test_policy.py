"""The API's view of a method's settings is the method's own."""

from dataclasses import fields
from typing import Any

import pytest
from pydantic import ValidationError

from app.registry.policy import LotusSettings, Mode, Policy
from workers.unlearning import config
from workers.unlearning.config import InvalidConfig, LotusConfig

BOUNDS: dict[str, tuple[Any, Any]] = {
    name: bounds for name, bounds in {**config._INTEGERS, **config._REALS}.items()
}


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
