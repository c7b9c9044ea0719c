"""Which epoch's weights are kept, and when a run ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from workers.unlearning.config import LotusConfig, Mode
from workers.unlearning.data import UnlearningData
from workers.unlearning.steering import Signal, can_steer


class Selection(Protocol):
    """`observe` is called once after every epoch and says whether it is the best so far."""

    steers: bool  # wants the validation signal
    finished: bool  # no further epoch is needed

    def observe(self, accuracy_gap: float, signal: Signal | None) -> bool: ...


@dataclass
class KeepLast:
    """All planned epochs; the last weights count (the paper)."""

    steers = False
    finished = False

    def observe(self, accuracy_gap: float, signal: Signal | None) -> bool:
        return True


@dataclass
class SmallestGap:
    """Whole classes: the epoch whose accuracy on D_f is closest to its goal.

    Ends at the goal, or after `patience` epochs without a closer one: later epochs move away again,
    because at temperature 1 the teacher's own answer re-teaches the class.
    """

    patience: int
    steers = False
    finished = False
    smallest: float = float("inf")
    epochs_since: int = 0

    def observe(self, accuracy_gap: float, signal: Signal | None) -> bool:
        closer = abs(accuracy_gap) < self.smallest
        if closer:
            self.smallest, self.epochs_since = abs(accuracy_gap), 0
        else:
            self.epochs_since += 1
        self.finished = accuracy_gap <= 0.0 or self.epochs_since >= self.patience
        return closer


@dataclass
class LowestBand:
    """Guided: the epoch with the lowest validation band advantage, among those whose validation AUC
    is not below the floor (over-unlearned); without any such epoch, the one with the highest AUC.

    Ends after `patience` epochs without a better one.
    """

    patience: int
    auc_floor: float
    steers = True
    finished = False
    best: tuple[bool, float] = (True, float("inf"))
    epochs_since: int = 0

    def observe(self, accuracy_gap: float, signal: Signal | None) -> bool:
        if signal is None:
            raise ValueError("steering needs the validation signal")
        too_far = signal.auc < self.auc_floor
        score = (too_far, -signal.auc if too_far else signal.band)
        if score < self.best:
            self.best, self.epochs_since = score, 0
            return True
        self.epochs_since += 1
        self.finished = self.epochs_since >= self.patience
        return False


def selection_for(config: LotusConfig, data: UnlearningData) -> Selection:
    if config.mode is not Mode.GUIDED:
        return KeepLast()
    if data.forgets_whole_classes():
        return SmallestGap(config.patience)
    if config.steer and can_steer(data):
        return LowestBand(config.patience, config.auc_floor)
    return KeepLast()
