"""Rules that say after which epoch a run of LoTUS stops, tried on the same recorded curve.

A curve holds, after every epoch of one run that nothing stopped, what a rule may read: figures of
D_f against the validation set. What the model was like then is measured beside it, on the test set,
and no rule sees that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workers.unlearning.config import LotusConfig
from workers.unlearning.selection import AtChance
from workers.unlearning.steering import Signal

DEFAULTS = LotusConfig()
AUC_FLOOR = DEFAULTS.auc_floor
PATIENCE = DEFAULTS.patience
CHANCE = 0.5
FIXED_STEPS = 40


@dataclass(frozen=True)
class Point:
    """After one epoch; `likeness` is what the table reports if a rule keeps this epoch."""

    epoch: int
    steps: int
    signal: Signal
    likeness: dict[str, float]


Rule = Callable[[Sequence[Point]], tuple[Point, int]]  # the epoch kept, and the last one run


def library(curve: Sequence[Point]) -> tuple[Point, int]:
    """The rule of guided mode, as the library has it."""
    selection = AtChance(PATIENCE, AUC_FLOOR, DEFAULTS.auc_ceiling)
    kept = curve[0]
    for point in curve:
        if selection.observe(0.0, point.signal):
            kept = point
        if selection.finished:
            return kept, point.epoch
    return kept, curve[-1].epoch


def auc(curve: Sequence[Point]) -> tuple[Point, int]:
    """The first epoch whose validation AUC is at most .5."""
    return _first(curve, lambda signal: signal.auc <= CHANCE)


def members(curve: Sequence[Point]) -> tuple[Point, int]:
    """The first epoch at which no more of D_f than of D_u is called member."""
    return _first(curve, lambda signal: signal.member_excess <= 0.0)


def band(curve: Sequence[Point]) -> tuple[Point, int]:
    """The lowest band advantage of those with AUC >= the floor, patience 5."""
    return _lowest(curve, lambda i: _band(curve[i]))


def smoothed_band(curve: Sequence[Point]) -> tuple[Point, int]:
    """The same on the mean over the last three epochs."""

    def mean(i: int) -> float:
        last = curve[max(0, i - 2) : i + 1]
        return sum(_band(point) for point in last) / len(last)

    return _lowest(curve, mean)


def combined(curve: Sequence[Point]) -> tuple[Point, int]:
    """The lowest sum of band advantage, |2 AUC - 1| and |member excess|, patience 5."""

    def total(i: int) -> float:
        signal = curve[i].signal
        return max(0.0, _band(curve[i])) + abs(2 * signal.auc - 1) + abs(signal.member_excess)

    return _lowest(curve, total)


def fixed(curve: Sequence[Point]) -> tuple[Point, int]:
    """After 40 steps."""
    for point in curve:
        if point.steps >= FIXED_STEPS:
            return point, point.epoch
    return curve[-1], curve[-1].epoch


RULES: dict[str, Rule] = {
    "guided": library,
    "members": members,
    "AUC .5": auc,
    "band": band,
    "band, smoothed": smoothed_band,
    "sum of three": combined,
    "40 steps": fixed,
}


def _band(point: Point) -> float:
    # Too few forget samples for a band: no epoch is better than another.
    return 0.0 if point.signal.band is None else point.signal.band


def _first(curve: Sequence[Point], reached: Callable[[Signal], bool]) -> tuple[Point, int]:
    for point in curve:
        if reached(point.signal):
            return point, point.epoch
    return curve[-1], curve[-1].epoch


def _lowest(curve: Sequence[Point], score: Callable[[int], float]) -> tuple[Point, int]:
    best, kept, since = (True, float("inf")), 0, 0
    for i, point in enumerate(curve):
        too_far = point.signal.auc < AUC_FLOOR
        found = (too_far, -point.signal.auc if too_far else score(i))
        if found < best:
            best, kept, since = found, i, 0
        else:
            since += 1
            if since >= PATIENCE:
                return curve[kept], point.epoch
    return curve[kept], curve[-1].epoch
