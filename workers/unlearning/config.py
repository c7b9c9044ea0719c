"""Settings of one LoTUS run, validated, and readable from JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from workers.unlearning.errors import UnlearningError


class InvalidConfig(UnlearningError):
    """A setting is unknown or out of bounds; the message names it."""


class Mode(StrEnum):
    """guided: stopped by the validation set. paper: exact formulas, all epochs.
    released: as the authors' public code, for comparison with published tables only."""

    GUIDED = "guided"
    PAPER = "paper"
    RELEASED = "released"


_INTEGERS = {"epochs": (1, 1_000), "batch_size": (2, 65_536), "patience": (1, 1_000)}
_REALS = {  # closed intervals
    "alpha": (1e-3, 64.0),
    "learning_rate": (1e-9, 1.0),
    "retain_fraction": (1e-6, 1.0),
    "weight_decay": (0.0, 1.0),
    "smoothing": (0.0, 10_000.0),
    "auc_floor": (0.0, 0.5),
}
_FLAGS = ("class_matched", "bn_recalibrate", "steer")


@dataclass(frozen=True)
class LotusConfig:
    """Every field is bounded; InvalidConfig names the first one that is wrong, never its value.

    alpha             gain of the temperature
    retain_fraction   share of D_r that takes part, drawn once a run
    class_matched     weigh unseen accuracy by D_f's class histogram
    smoothing         s of (c + s a_u) / (n + s); 0 is the plain accuracy
    bn_recalibrate    re-estimate BatchNorm statistics on the retain subset after every epoch
    steer             guided mode: let the validation set choose the epoch
    patience          guided mode: epochs without a better one before the run stops
    auc_floor         guided mode: an epoch with a lower validation AUC has gone too far
    """

    mode: Mode = Mode.GUIDED
    alpha: float = 4.0
    learning_rate: float = 3e-4
    epochs: int = 10
    batch_size: int = 128
    retain_fraction: float = 1.0
    weight_decay: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.999)
    class_matched: bool = True
    smoothing: float = 10.0
    bn_recalibrate: bool = False
    steer: bool = True
    patience: int = 5
    auc_floor: float = 0.45

    def __post_init__(self) -> None:
        if self.mode not in list(Mode):
            raise InvalidConfig("mode: must be guided, paper or released")
        object.__setattr__(self, "mode", Mode(self.mode))
        for name, (low, high) in _INTEGERS.items():
            if not _is_integer(getattr(self, name), low, high):
                raise InvalidConfig(f"{name}: must be an integer from {low} to {high}")
        for name, (lower, upper) in _REALS.items():
            if not _is_real(getattr(self, name), lower, upper):
                raise InvalidConfig(f"{name}: must be a number from {lower:g} to {upper:g}")
        for name in _FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise InvalidConfig(f"{name}: must be true or false")
        self._check_betas()
        if self.mode is not Mode.GUIDED and (self.class_matched or self.smoothing > 0):
            raise InvalidConfig(f"mode: {self.mode} has no class_matched and no smoothing")

    def _check_betas(self) -> None:
        betas = self.betas
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise InvalidConfig("betas: must be two numbers")
        if not all(_is_real(beta, 0.0, 0.999_999) for beta in betas):
            raise InvalidConfig("betas: must be numbers from 0 to below 1")
        object.__setattr__(self, "betas", (float(betas[0]), float(betas[1])))

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; `from_dict` gives the same config back."""
        return asdict(self) | {"mode": self.mode.value, "betas": list(self.betas)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LotusConfig:
        known = {field.name for field in fields(cls)}
        for key in values:
            if key not in known:
                raise InvalidConfig(f"{key}: no such setting")
        return cls(**values)


def _is_integer(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_real(value: object, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and low <= value <= high
