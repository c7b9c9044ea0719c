"""Which epoch is kept, on hand-made curves."""

import torch

from workers.unlearning.config import LotusConfig
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.selection import AtChance, KeepLast, SmallestGap, selection_for
from workers.unlearning.steering import Signal


def kept(
    curve: list[tuple[float, float]], patience: int = 3, error: float = 0.03
) -> tuple[int, int]:
    """Best epoch and last epoch of a curve of (auc, member excess), both counted from 1."""
    selection, best, number = AtChance(patience, auc_floor=0.45, auc_ceiling=0.6), 0, 0
    for number, (auc, excess) in enumerate(curve, 1):
        if selection.observe(0.0, Signal(auc, error, excess, band=0.0)):
            best = number
        if selection.finished:
            break
    return best, number


def test_a_run_ends_once_no_more_forget_than_unseen_samples_are_called_member() -> None:
    assert kept([(0.70, 0.3), (0.65, 0.1), (0.60, 0.0), (0.55, -0.1)]) == (3, 3)


def test_a_run_goes_on_while_the_auc_is_above_its_ceiling() -> None:
    assert kept([(0.70, 0.0), (0.61, -0.1), (0.60, -0.1), (0.55, -0.2)]) == (3, 3)


def test_a_run_ends_at_the_auc_floor() -> None:
    assert kept([(0.60, 0.3), (0.50, 0.1), (0.45, 0.1), (0.44, 0.1)]) == (2, 3)


def test_the_floor_of_a_small_forget_set_is_one_standard_error_below_chance() -> None:
    curve = [(0.46, 0.2), (0.43, 0.1), (0.40, 0.05), (0.38, -0.1)]
    assert kept(curve, error=0.10) == (3, 3)
    assert kept(curve, error=0.06) == (1, 2)


def test_below_chance_only_the_member_attack_gains() -> None:
    # Gains: .2, .1, .05
    assert kept([(0.50, 0.2), (0.48, 0.1), (0.46, 0.05)]) == (3, 3)


def test_the_epoch_with_the_smallest_sum_of_both_gains_is_kept_and_patience_ends_the_run() -> None:
    # Gains: .2 + .4, .1 + .3, .15 + .2, .2 + .18, .1 + .26, .3 + .2
    curve = [(0.70, 0.2), (0.65, 0.1), (0.60, 0.15), (0.59, 0.2), (0.63, 0.1), (0.6, 0.3)]
    assert kept(curve) == (3, 6)
    assert kept(curve, patience=2) == (3, 5)


def test_a_negative_excess_makes_up_for_no_auc() -> None:
    assert kept([(0.62, 0.0), (0.63, -0.5), (0.64, -0.5)], patience=2) == (1, 3)


def test_an_epoch_that_jumps_below_the_auc_floor_is_not_kept() -> None:
    assert kept([(0.60, 0.3), (0.44, 0.1)]) == (1, 2)


def test_if_the_first_epoch_went_too_far_it_is_still_kept() -> None:
    assert kept([(0.40, -0.2)]) == (1, 1)


def test_of_epochs_that_all_went_too_far_the_highest_auc_is_kept() -> None:
    selection = AtChance(9, auc_floor=0.45, auc_ceiling=0.6)
    seen = [
        selection.observe(0.0, Signal(auc, 0.03, 0.1, None)) for auc in (0.40, 0.42, 0.41, 0.47)
    ]
    assert seen == [True, True, False, True]


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
    assert isinstance(selection_for(config, data(60, 100)), AtChance)
    assert isinstance(selection_for(config, data(60, 99)), KeepLast)
    assert isinstance(selection_for(config, data(100, 149)), KeepLast)
    assert isinstance(selection_for(config, data(100, 150)), AtChance)


def test_a_handful_of_forget_samples_is_too_coarse_to_steer_by() -> None:
    assert isinstance(selection_for(LotusConfig(), data(4, 100)), KeepLast)
    assert isinstance(selection_for(LotusConfig(), data(5, 100)), AtChance)


def test_steering_needs_validation_samples_for_half_of_the_forget_set() -> None:
    forget = LabelledSet(torch.zeros(6, 1), torch.tensor([0, 0, 0, 1, 2, 2]))
    retain = LabelledSet(torch.zeros(3, 1), torch.tensor([0, 1, 2]))
    for labels, expected in (([0] * 100, AtChance), ([1] * 100, KeepLast)):
        unseen = LabelledSet(torch.zeros(100, 1), torch.tensor(labels))
        sets = UnlearningData(forget, retain, unseen, 3)
        assert isinstance(selection_for(LotusConfig(), sets), expected)


def test_steering_can_be_switched_off_and_never_happens_in_paper_mode() -> None:
    assert isinstance(selection_for(LotusConfig(steer=False), data(60, 100)), KeepLast)
    paper = LotusConfig.from_dict({"mode": "paper", "class_matched": False, "smoothing": 0})
    assert isinstance(selection_for(paper, data(60, 100)), KeepLast)


def test_a_whole_class_is_selected_by_its_accuracy() -> None:
    assert isinstance(selection_for(LotusConfig(), data(60, 100, retain_label=1)), SmallestGap)
