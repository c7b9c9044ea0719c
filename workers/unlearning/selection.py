"""Which epoch's weights are kept, and when a run ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from workers.unlearning.config import LotusConfig, Mode
from workers.unlearning.data import UnlearningData
from workers.unlearning.steering import Signal, can_steer

CHANCE = 0.5


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
class AtChance:
    """Guided: the epoch at which D_f stands out least from D_u,val, by what two attacks gain over
    guessing: the paper's member attack, and the ranking whose AUC is .5 at chance.

    Ends at chance, where no larger share of D_f than of D_u is called member and the AUC is at most
    the ceiling; or at the floor, below which the AUC shows that a run went too far; or after
    `patience` epochs without a better one. Epochs below the floor are kept only if there is no
    other, the highest AUC first. The floor of a small forget set is one standard error below .5,
    since samples that nobody was trained on are often lower than .45.
    """

    patience: int
    auc_floor: float
    auc_ceiling: float
    steers = True
    finished = False
    best: tuple[bool, float] = (True, float("inf"))
    epochs_since: int = 0

    def observe(self, accuracy_gap: float, signal: Signal | None) -> bool:
        if signal is None:
            raise ValueError("steering needs the validation signal")
        floor = min(self.auc_floor, CHANCE - signal.auc_error)
        too_far = signal.auc < floor
        gain = max(0.0, signal.member_excess) + max(0.0, 2.0 * signal.auc - 1.0)
        score = (too_far, -signal.auc if too_far else gain)
        better = score < self.best
        self.best = min(score, self.best)
        self.epochs_since = 0 if better else self.epochs_since + 1
        at_chance = not too_far and signal.member_excess <= 0.0 and signal.auc <= self.auc_ceiling
        at_floor = signal.auc <= floor
        self.finished = at_chance or at_floor or self.epochs_since >= self.patience
        return better


def selection_for(config: LotusConfig, data: UnlearningData) -> Selection:
    if config.mode is not Mode.GUIDED:
        return KeepLast()
    if data.forgets_whole_classes():
        return SmallestGap(config.patience)
    if config.steer and can_steer(data):
        return AtChance(config.patience, config.auc_floor, config.auc_ceiling)
    return KeepLast()
