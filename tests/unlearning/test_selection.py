"""Which epoch is kept, on hand-made curves."""

import torch

from workers.unlearning.config import LotusConfig
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.selection import KeepLast, LowestBand, SmallestGap, selection_for
from workers.unlearning.steering import Signal


def kept(curve: list[tuple[float, float]], patience: int = 2) -> tuple[int, int]:
    """Best epoch and last epoch of a curve of (auc, band), both counted from 1."""
    selection, best, number = LowestBand(patience=patience, auc_floor=0.45), 0, 0
    for number, (auc, band) in enumerate(curve, 1):
        if selection.observe(0.0, Signal(auc, band)):
            best = number
        if selection.finished:
            break
    return best, number


def test_the_epoch_with_the_lowest_band_is_kept_and_patience_ends_the_run() -> None:
    curve = [(0.65, 0.4), (0.6, 0.3), (0.57, 0.2), (0.55, 0.25), (0.52, 0.21), (0.5, 0.1)]
    assert kept(curve) == (3, 5)
    assert kept(curve, patience=3) == (6, 6)


def test_an_epoch_below_the_auc_floor_is_not_kept_however_low_its_band() -> None:
    assert kept([(0.6, 0.3), (0.44, 0.0), (0.4, 0.0)]) == (1, 3)


def test_an_epoch_at_or_above_the_floor_replaces_any_below_it() -> None:
    assert kept([(0.44, 0.0), (0.5, 0.3)]) == (2, 2)


def test_if_every_epoch_went_too_far_the_one_closest_to_chance_is_kept() -> None:
    assert kept([(0.40, 0.2), (0.42, 0.3), (0.30, 0.1), (0.31, 0.1)]) == (2, 4)


def test_a_whole_class_run_ends_when_the_goal_is_reached() -> None:
    selection = SmallestGap(patience=2)
    assert [selection.observe(gap, None) for gap in (0.5, 0.2, 0.3)] == [True, True, False]
    assert not selection.finished
    assert selection.observe(0.0, None)
    assert selection.finished


def test_a_whole_class_run_that_moves_away_from_its_goal_ends_after_patience() -> None:
    selection = SmallestGap(patience=2)
    assert [selection.observe(gap, None) for gap in (0.1, 0.4, 0.9)] == [True, False, False]
    assert selection.finished


def data(n_forget: int, n_validation: int, retain_label: int = 0) -> UnlearningData:
    def rows(count: int, label: int) -> LabelledSet:
        return LabelledSet(torch.zeros(count, 1), torch.full((count,), label))

    return UnlearningData(rows(n_forget, 0), rows(1, retain_label), rows(n_validation, 0), 2)


def test_validation_steers_from_a_hundred_samples_and_one_and_a_half_forget_sets_on() -> None:
    config = LotusConfig()
    assert isinstance(selection_for(config, data(60, 100)), LowestBand)
    assert isinstance(selection_for(config, data(60, 99)), KeepLast)
    assert isinstance(selection_for(config, data(100, 149)), KeepLast)
    assert isinstance(selection_for(config, data(100, 150)), LowestBand)


def test_fewer_than_twenty_forget_samples_do_not_steer() -> None:
    assert isinstance(selection_for(LotusConfig(), data(19, 200)), KeepLast)
    assert isinstance(selection_for(LotusConfig(), data(20, 200)), LowestBand)


def test_steering_can_be_switched_off_and_never_happens_in_paper_mode() -> None:
    assert isinstance(selection_for(LotusConfig(steer=False), data(60, 100)), KeepLast)
    paper = LotusConfig.from_dict({"mode": "paper", "class_matched": False, "smoothing": 0})
    assert isinstance(selection_for(paper, data(60, 100)), KeepLast)


def test_a_whole_class_is_selected_by_its_accuracy() -> None:
    assert isinstance(selection_for(LotusConfig(), data(60, 100, retain_label=1)), SmallestGap)
