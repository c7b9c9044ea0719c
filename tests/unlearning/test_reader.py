"""The reader that hands out training rows, counts them and refuses the forget set."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
import torch

from workers.unlearning.data import LabelledSet, RowOutOfRange, UnlearningData
from workers.unlearning.reader import (
    ForbiddenRow,
    ProofFailed,
    Served,
    TrainingReader,
    require_proof,
)


def rows(*labels: int) -> LabelledSet:
    values = torch.tensor(labels, dtype=torch.float32)
    return LabelledSet(torch.stack([values, 10 * values], dim=1), torch.tensor(labels))


def data(forget: LabelledSet, retain: LabelledSet, **ids: torch.Tensor) -> UnlearningData:
    return UnlearningData(forget, retain, rows(0, 1), 5, **ids)


@pytest.fixture
def reader() -> TrainingReader:
    names = {"forget_ids": torch.tensor([41, 7]), "retain_ids": torch.tensor([300, 2, 90])}
    return TrainingReader(data(rows(1, 4), rows(0, 2, 3), **names))


def digest(*names: int) -> str:
    return hashlib.sha256(b"".join(name.to_bytes(8, "little") for name in names)).hexdigest()


def test_rows_are_handed_out_and_counted(reader: TrainingReader) -> None:
    assert reader.allowed.tolist() == [2, 3, 4]
    assert reader.read(torch.tensor([3, 2])).labels.tolist() == [2, 0]
    assert reader.read(torch.tensor([3])).inputs.tolist() == [[2.0, 20.0]]
    served = reader.served()
    assert (served.rows_in_set, served.forbidden_rows, served.batches) == (5, 2, 2)
    assert (served.rows_served, served.distinct_rows_served) == (3, 2)
    assert served.forbidden_rows_served == served.refused_batches == served.equal_rows == 0


def test_a_batch_with_a_forget_row_is_refused_as_a_whole_and_noted(reader: TrainingReader) -> None:
    with pytest.raises(ForbiddenRow, match="1 of 2 rows"):
        reader.read(torch.tensor([2, 1]))
    served = reader.served()
    assert (served.rows_served, served.batches, served.refused_batches) == (0, 0, 1)


@pytest.mark.parametrize("place", [-1, 5])
def test_a_row_that_does_not_exist_is_refused(reader: TrainingReader, place: int) -> None:
    with pytest.raises(RowOutOfRange, match="1 of 2 rows asked for lie outside a set of 5"):
        reader.read(torch.tensor([2, place]))
    assert reader.served().batches == 0


def test_digests_are_of_the_owners_names_for_the_rows(reader: TrainingReader) -> None:
    assert reader.served().forbidden_sha256 == digest(7, 41)
    assert reader.served().allowed_sha256 == digest(2, 90, 300)
    assert reader.served().distinct_sha256 == digest()
    reader.read(torch.tensor([4, 2]))
    assert reader.served().distinct_sha256 == digest(90, 300)
    reader.read(torch.tensor([3]))
    assert reader.served().distinct_sha256 == reader.served().allowed_sha256


def test_a_copy_of_a_forget_row_among_the_retained_ones_is_counted() -> None:
    assert TrainingReader(data(rows(1, 4), rows(0, 1, 4, 4))).served().equal_rows == 3


def test_without_names_rows_are_numbered_from_zero() -> None:
    served = TrainingReader(data(rows(1, 4), rows(0, 2))).served()
    assert (served.forbidden_sha256, served.allowed_sha256) == (digest(0, 1), digest(2, 3))


FORGET, RETAIN = torch.tensor([41, 7]), torch.tensor([300, 2, 90])


def read_all(reader: TrainingReader) -> Served:
    for place in (2, 3, 4):
        reader.read(torch.tensor([place]))
    return reader.served()


def test_a_training_that_read_all_of_the_retain_set_and_nothing_else_is_proved(
    reader: TrainingReader,
) -> None:
    served = read_all(reader)
    assert require_proof(served, FORGET, RETAIN) is served
    assert require_proof(served, FORGET.flip(0), RETAIN.flip(0)) is served  # sets, not orders


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"forbidden_rows_served": 1}, "a forget row was served"),
        ({"refused_batches": 1}, "a forget row was asked for"),
        ({"rows_served": 0}, "no row was served"),
        ({"allowed_sha256": digest(2, 300)}, "other rows than the retain set"),
        ({"forbidden_sha256": digest(7)}, "other rows than the forget set"),
        ({"distinct_sha256": digest(2, 90)}, "not every row"),
    ],
)
def test_what_was_served_otherwise_is_no_proof(
    reader: TrainingReader, change: dict[str, Any], why: str
) -> None:
    with pytest.raises(ProofFailed, match=why):
        require_proof(replace(read_all(reader), **change), FORGET, RETAIN)


def test_a_reader_of_other_sets_proves_nothing(reader: TrainingReader) -> None:
    served = read_all(reader)
    for forget, retain in ((FORGET[:1], RETAIN), (FORGET, RETAIN[:2]), (FORGET, FORGET)):
        with pytest.raises(ProofFailed):
            require_proof(served, forget, retain)
    with pytest.raises(ProofFailed, match="did not say"):
        require_proof(None, FORGET, RETAIN)
