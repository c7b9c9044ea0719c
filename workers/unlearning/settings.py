"""Settings of a method as bounded dataclass fields, to and from JSON.

A method's config is a frozen dataclass derived from `MethodConfig`; each of its fields is declared
with `real`, `integer`, `flag` or `choice`, which hold the default and the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Self

from workers.unlearning.errors import UnlearningError

Check = Callable[[Any], str | None]  # what is wrong with a value, or None


class InvalidConfig(UnlearningError):
    """A setting is unknown or out of bounds; the message names it, never its value."""


def real(default: float, low: float, high: float) -> Any:
    """A number in the closed interval [low, high]."""

    def check(value: Any) -> str | None:
        good = _is_number(value) and low <= value <= high  # NaN is in no interval
        return None if good else f"must be a number from {low:g} to {high:g}"

    return field(default=default, metadata={"check": check, "bounds": (low, high)})


def integer(default: int, low: int, high: int) -> Any:
    def check(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if good else f"must be an integer from {low} to {high}"

    return field(default=default, metadata={"check": check, "bounds": (low, high)})


def flag(default: bool) -> Any:
    def check(value: Any) -> str | None:
        return None if isinstance(value, bool) else "must be true or false"

    return field(default=default, metadata={"check": check})


def choice(default: str, *others: str) -> Any:
    allowed = (default, *others)

    def check(value: Any) -> str | None:
        good = isinstance(value, str) and value in allowed
        return None if good else f"must be one of {', '.join(allowed)}"

    return field(default=default, metadata={"check": check})


def pair(default: tuple[float, float], low: float, high: float) -> Any:
    """Two numbers in [low, high]; a list, as JSON has it, becomes a tuple."""

    def check(value: Any) -> str | None:
        good = isinstance(value, (tuple, list)) and len(value) == 2
        if not (good and all(_is_number(v) and low <= v <= high for v in value)):
            return f"must be two numbers from {low:g} to {high:g}"
        return None

    return field(default=default, metadata={"check": check})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """What every method has: how the arithmetic is done, never what is computed.

    precision      of forward and backward passes; parameters, optimizer, loss and softmax stay in
                   float32. auto: bfloat16 autocast on a CUDA device that has it, else float32
    kernels        fast: channels_last images and a fused optimizer, equal up to rounding, which
                   AdamW can amplify. reference: neither, equal to the published loop step by step.
                   auto: fast on a CUDA device
    deterministic  bit-equal re-runs on one machine and thread count: float32, reference kernels,
                   deterministic algorithms
    accumulate     a batch is computed in so many parts, whose gradients are added up, for a device
                   with little memory: the same step, except that BatchNorm sees smaller batches
    """

    precision: str = choice("auto", "float32", "bfloat16")
    kernels: str = choice("auto", "fast", "reference")
    deterministic: bool = flag(False)
    accumulate: int = integer(1, 1, 1_024)

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            wrong = _check_of(setting)(value)
            if wrong:
                raise InvalidConfig(f"{setting.name}: {wrong}")
            if isinstance(value, list):
                object.__setattr__(self, setting.name, tuple(float(v) for v in value))
        if self.deterministic and self.precision == "bfloat16":
            raise InvalidConfig("precision: a deterministic run computes in float32")

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; `from_dict` gives the same config back."""
        values = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        known = {setting.name for setting in fields(cls)}
        for key in values:
            if key not in known:
                raise InvalidConfig(f"{key}: no such setting")
        return cls(**values)


def _check_of(setting: Field[Any]) -> Check:
    check: Check = setting.metadata["check"]
    return check
