"""The reader that hands out training rows, counts them and refuses the forget set."""

import hashlib

import pytest
import torch

from workers.unlearning.data import LabelledSet
from workers.unlearning.errors import ShapeMismatch
from workers.unlearning.reader import ForbiddenRow, TrainingReader


def reader() -> TrainingReader:
    samples = LabelledSet(torch.arange(10.0).reshape(5, 2), torch.tensor([0, 1, 2, 3, 4]))
    return TrainingReader(samples, torch.tensor([False, True, False, False, True]))


def test_rows_are_handed_out_and_counted() -> None:
    rows = reader()
    assert rows.allowed.tolist() == [0, 2, 3]
    assert rows.read(torch.tensor([2, 0])).labels.tolist() == [2, 0]
    assert rows.read(torch.tensor([2])).inputs.tolist() == [[4.0, 5.0]]
    served = rows.served()
    assert (served.rows_in_set, served.forbidden_rows, served.batches) == (5, 2, 2)
    assert (served.rows_served, served.distinct_rows_served) == (3, 2)
    assert served.forbidden_rows_served == served.refused_batches == 0


def test_a_batch_with_a_forget_row_is_refused_as_a_whole_and_noted() -> None:
    rows = reader()
    with pytest.raises(ForbiddenRow, match="1 of 2 rows"):
        rows.read(torch.tensor([0, 4]))
    served = rows.served()
    assert (served.rows_served, served.refused_batches) == (0, 1)


def test_digests_name_the_rows_that_may_be_and_that_were_read() -> None:
    rows = reader()
    eight_bytes_each = b"".join(row.to_bytes(8, "little") for row in (0, 2, 3))
    expected = hashlib.sha256(eight_bytes_each).hexdigest()
    assert rows.served().distinct_sha256 == hashlib.sha256(b"").hexdigest()
    rows.read(torch.tensor([3, 0]))
    assert rows.served().allowed_sha256 == expected
    assert rows.served().distinct_sha256 != expected
    rows.read(torch.tensor([2]))
    assert rows.served().distinct_sha256 == expected


def test_a_mask_that_does_not_fit_the_set_is_refused() -> None:
    samples = LabelledSet(torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64))
    for mask in (torch.zeros(2, dtype=torch.bool), torch.zeros(3)):
        with pytest.raises(ShapeMismatch):
            TrainingReader(samples, mask)
