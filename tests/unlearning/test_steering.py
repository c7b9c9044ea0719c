"""What guided mode reads from the validation set, on logits made by hand."""

import math

import pytest
import torch
from torch import Tensor

from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.steering import members, validation_signal


def rows(labels: list[int]) -> LabelledSet:
    return LabelledSet(
        torch.arange(len(labels), dtype=torch.float32)[:, None], torch.tensor(labels)
    )


def sure(*margins: float, label: int = 0) -> Tensor:
    """(N, 2) logits that favour `label` by the given margins."""
    logits = torch.zeros(len(margins), 2)
    logits[:, label] = torch.tensor(margins)
    return logits


def test_a_forget_set_that_is_as_sure_as_members_stands_out_entirely() -> None:
    data = UnlearningData(rows([0] * 4), rows([0] * 6), rows([0] * 10), 2)
    signal = validation_signal(sure(*[9.0] * 4), sure(*[0.1] * 10), sure(*[9.0] * 6), data)
    assert (signal.auc, signal.member_excess) == (1.0, 1.0)
    assert signal.band is not None and signal.band == pytest.approx(5 / 6)


def test_a_forget_set_that_is_as_unsure_as_unseen_samples_does_not_stand_out() -> None:
    data = UnlearningData(rows([0] * 4), rows([0] * 6), rows([0] * 10), 2)
    signal = validation_signal(sure(*[0.1] * 4), sure(*[0.1] * 10), sure(*[9.0] * 6), data)
    assert (signal.auc, signal.member_excess) == (0.5, 0.0)
    assert signal.auc_error == pytest.approx(math.sqrt((1 / 4 + 1 / 10) / 12))


def test_unseen_samples_count_at_the_class_histogram_of_the_forget_set() -> None:
    # Class 0: half of the unseen samples are sure. Class 1: none. Three forget samples of four are
    # of class 0, so 3/4 * 1/2 of unseen samples count as called; half of the forget set is.
    data = UnlearningData(rows([0, 0, 0, 1]), rows([0] * 6), rows([0, 0, 1, 1, 1, 1]), 2)
    forget = torch.cat([sure(9.0, 9.0, 0.1), sure(0.1, label=1)])
    unseen = torch.cat([sure(9.0, 0.1), sure(0.1, 0.1, 0.1, 0.1, label=1)])
    signal = validation_signal(forget, unseen, sure(*[9.0] * 6), data)
    assert signal.member_excess == pytest.approx(1 / 2 - 3 / 8)


def test_forget_samples_of_a_class_without_two_unseen_ones_are_left_out() -> None:
    data = UnlearningData(rows([0, 1]), rows([0] * 6), rows([0] * 5 + [1]), 2)
    forget = torch.cat([sure(0.1), sure(9.0, label=1)])
    signal = validation_signal(forget, sure(*[0.1] * 6), sure(*[9.0] * 6), data)
    assert (signal.auc, signal.member_excess) == (0.5, 0.0)


def test_below_four_forget_samples_there_is_no_band() -> None:
    data = UnlearningData(rows([0] * 3), rows([0] * 6), rows([0] * 10), 2)
    signal = validation_signal(sure(*[9.0] * 3), sure(*[0.1] * 10), sure(*[9.0] * 6), data)
    assert signal.band is None and signal.auc == 1.0 and math.isfinite(signal.member_excess)


def test_the_member_attack_learns_from_rows_all_over_the_retain_set() -> None:
    data = UnlearningData(rows([0]), rows([0] * 3_000), rows([0] * 700), 2)
    chosen = members(data).inputs.flatten()
    assert len(chosen) == 200
    assert (float(chosen[0]), float(chosen[-1])) == (0.0, 2_999.0)
    few = UnlearningData(rows([0]), rows([0] * 3), rows([0] * 700), 2)
    assert len(members(few)) == 3
