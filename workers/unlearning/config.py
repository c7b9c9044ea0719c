"""Settings of one LoTUS run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from workers.unlearning.settings import (
    InvalidConfig,
    MethodConfig,
    choice,
    flag,
    integer,
    pair,
    real,
)


class Mode(StrEnum):
    """guided: stopped by the validation set. paper: exact formulas, all epochs.
    released: as the authors' public code, for comparison with published tables only."""

    GUIDED = "guided"
    PAPER = "paper"
    RELEASED = "released"


@dataclass(frozen=True, kw_only=True)
class LotusConfig(MethodConfig):
    """Every field is bounded; InvalidConfig names the first one that is wrong, never its value.

    alpha             gain of the temperature
    retain_fraction   share of D_r that takes part, drawn once a run
    class_matched     weigh unseen accuracy by D_f's class histogram
    smoothing         s of (c + s a_u) / (n + s); 0 is the plain accuracy
    bn_recalibrate    re-estimate BatchNorm statistics on the retain subset after every epoch
    steer             guided mode: let the validation set choose the epoch
    patience          guided mode: epochs without a better one before the run stops
    auc_floor         guided mode: an epoch with a lower validation AUC has gone too far
    auc_ceiling       guided mode: an epoch with a higher one has not gone far enough
    """

    mode: Mode = choice(Mode.GUIDED, Mode.PAPER, Mode.RELEASED)
    alpha: float = real(4.0, 1e-3, 64.0)
    learning_rate: float = real(3e-4, 1e-9, 1.0)
    epochs: int = integer(10, 1, 1_000)
    batch_size: int = integer(128, 2, 65_536)
    retain_fraction: float = real(1.0, 1e-6, 1.0)
    weight_decay: float = real(5e-4, 0.0, 1.0)
    betas: tuple[float, float] = pair((0.9, 0.999), 0.0, 0.999_999)
    class_matched: bool = flag(True)
    smoothing: float = real(10.0, 0.0, 10_000.0)
    bn_recalibrate: bool = flag(False)
    steer: bool = flag(True)
    patience: int = integer(5, 1, 1_000)
    auc_floor: float = real(0.45, 0.0, 0.5)
    auc_ceiling: float = real(0.6, 0.5, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "mode", Mode(self.mode))
        if self.mode is not Mode.GUIDED and (self.class_matched or self.smoothing > 0):
            raise InvalidConfig(f"mode: {self.mode} has no class_matched and no smoothing")
