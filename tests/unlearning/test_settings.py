"""Bounded settings, to and from JSON."""

import json
from dataclasses import dataclass

import pytest

from workers.unlearning.settings import (
    InvalidConfig,
    MethodConfig,
    choice,
    flag,
    integer,
    pair,
    real,
)


@dataclass(frozen=True, kw_only=True)
class Settings(MethodConfig):
    rate: float = real(0.5, 0.0, 1.0)
    count: int = integer(3, 1, 5)
    quick: bool = flag(False)
    colour: str = choice("red", "green")
    betas: tuple[float, float] = pair((0.9, 0.99), 0.0, 0.999)


def test_settings_survive_json() -> None:
    settings = Settings(rate=0.25, count=5, quick=True, colour="green", betas=(0.1, 0.2))
    again = Settings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert again.betas == (0.1, 0.2)  # a tuple again
    assert Settings.from_dict({}) == Settings()


def test_bounds_belong_to_the_range() -> None:
    for rate in (0, 0.0, 1, 1.0):
        assert Settings(rate=rate).rate == rate
    assert Settings(count=1).count == 1 and Settings(count=5).count == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", -1e-9),
        ("rate", 1.000_001),
        ("rate", float("nan")),
        ("rate", float("inf")),
        ("rate", "0.5"),
        ("rate", True),
        ("rate", None),
        ("count", 0),
        ("count", 6),
        ("count", 3.0),
        ("count", True),
        ("quick", 1),
        ("quick", "true"),
        ("colour", "blue"),
        ("colour", ["red"]),
        ("betas", [0.9]),
        ("betas", [0.9, 0.9, 0.9]),
        ("betas", [0.9, 1.0]),
        ("betas", [0.9, float("nan")]),
        ("betas", 0.9),
        ("precision", "float16"),
        ("kernels", "faster"),
        ("deterministic", 0),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidConfig, match=f"^{name}: must be"):
        Settings.from_dict({name: value})


def test_a_refusal_never_shows_the_value() -> None:
    with pytest.raises(InvalidConfig) as caught:
        Settings.from_dict({"colour": "someone@example.org"})
    assert "someone" not in str(caught.value)


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(InvalidConfig, match=r"^speed: no such setting"):
        Settings.from_dict({"speed": 1})


def test_a_deterministic_run_computes_in_float32() -> None:
    with pytest.raises(InvalidConfig, match="precision"):
        MethodConfig(deterministic=True, precision="bfloat16")
    assert MethodConfig(deterministic=True).precision == "auto"


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(AttributeError):
        Settings().rate = 0.1  # type: ignore[misc]
