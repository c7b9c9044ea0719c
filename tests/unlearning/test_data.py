"""What may enter an unlearning run, and how one held-out split becomes two."""

import pytest
import torch

from workers.unlearning.data import (
    LabelledSet,
    NonFiniteInputs,
    RepeatedRows,
    RowOutOfRange,
    UnlearningData,
    WrongDtype,
    split_unseen,
)
from workers.unlearning.errors import (
    EmptyForgetSet,
    EmptySet,
    ForgetSetTooLarge,
    LabelOutOfRange,
    ShapeMismatch,
    TooFewClasses,
)


def samples(*labels: int, features: int = 2) -> LabelledSet:
    return LabelledSet(torch.zeros(len(labels), features), torch.tensor(labels, dtype=torch.int64))


def test_inputs_and_labels_of_different_length_are_refused() -> None:
    with pytest.raises(ShapeMismatch):
        LabelledSet(torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64))


def test_inputs_without_a_feature_dimension_are_refused() -> None:
    with pytest.raises(ShapeMismatch):
        LabelledSet(torch.zeros(3), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_inputs_that_are_not_finite_are_refused_with_their_count(value: float) -> None:
    inputs = torch.zeros(3, 2)
    inputs[1, 0] = value
    with pytest.raises(NonFiniteInputs, match="1 of 3"):
        LabelledSet(inputs, torch.zeros(3, dtype=torch.int64))


def test_inputs_must_be_float32_and_labels_int64() -> None:
    with pytest.raises(WrongDtype, match="inputs"):
        LabelledSet(torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(WrongDtype, match="labels"):
        LabelledSet(torch.zeros(1, 2), torch.zeros(1))


def test_an_empty_forget_set_is_refused() -> None:
    with pytest.raises(EmptyForgetSet):
        UnlearningData(samples(), samples(0), samples(0), 2)


@pytest.mark.parametrize("name", ["retain", "validation"])
def test_an_empty_retain_or_validation_set_is_refused_by_name(name: str) -> None:
    sets = {"retain": samples(0), "validation": samples(0)} | {name: samples()}
    with pytest.raises(EmptySet, match=name):
        UnlearningData(forget=samples(1), num_classes=2, **sets)


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_outside_the_classes_is_refused(label: int) -> None:
    with pytest.raises(LabelOutOfRange, match="1 of 2 labels"):
        UnlearningData(samples(0), samples(0, label), samples(0), 2)


def test_sets_whose_samples_differ_in_shape_are_refused() -> None:
    with pytest.raises(ShapeMismatch, match="validation"):
        UnlearningData(samples(0), samples(0), samples(0, features=3), 2)


def test_a_class_without_retained_samples_is_a_whole_class() -> None:
    data = UnlearningData(samples(0, 1, 1), samples(0, 2), samples(0), 3)
    assert data.whole_classes().tolist() == [1]
    assert not data.forgets_whole_classes()
    assert UnlearningData(samples(1), samples(0), samples(0), 3).forgets_whole_classes()


def test_the_halves_of_a_held_out_split_are_disjoint_complete_and_stratified() -> None:
    labels = torch.tensor([0] * 10 + [1] * 7 + [2] * 5)
    validation, test = split_unseen(labels, seed=3)
    assert sorted([*validation.tolist(), *test.tolist()]) == list(range(22))
    assert torch.bincount(labels[validation]).tolist() == [5, 4, 2]
    assert torch.bincount(labels[test]).tolist() == [5, 3, 3]


def test_the_same_seed_gives_the_same_halves_and_another_seed_others() -> None:
    labels = torch.arange(100) % 4
    first, again, other = (split_unseen(labels, seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_an_empty_held_out_split_gives_two_empty_halves() -> None:
    validation, test = split_unseen(torch.empty(0, dtype=torch.int64), seed=0)
    assert len(validation) == len(test) == 0


def test_a_training_set_is_divided_by_the_places_of_its_forget_rows() -> None:
    training = samples(0, 1, 2, 0, 1)
    data = UnlearningData.of(training, torch.tensor([3, 1]), samples(0), 3)
    assert data.forget.labels.tolist() == [0, 1]
    assert data.retain.labels.tolist() == [0, 2, 1]
    assert [ids.tolist() for ids in data.row_ids()] == [[3, 1], [0, 2, 4]]


@pytest.mark.parametrize(
    ("places", "error", "message"),
    [
        ([0, 5], RowOutOfRange, "1 of 2 rows asked for lie outside a set of 3"),
        ([-1], RowOutOfRange, "1 of 1 rows"),
        ([1, 1], RepeatedRows, "1 of 2 training rows"),
        ([0, 1, 2], ForgetSetTooLarge, "3 of 3 training samples"),
        ([], EmptyForgetSet, "0 samples"),
    ],
)
def test_a_forget_set_that_does_not_fit_its_training_set_is_refused_with_counts(
    places: list[int], error: type[Exception], message: str
) -> None:
    rows = torch.tensor(places, dtype=torch.int64)
    with pytest.raises(error, match=message):
        UnlearningData.of(samples(0, 1, 2), rows, samples(0), 3)


def test_a_row_cannot_be_forgotten_and_retained_at_once() -> None:
    with pytest.raises(RepeatedRows, match="1 of 4"):
        UnlearningData(
            samples(0, 1),
            samples(0, 1),
            samples(0),
            2,
            forget_ids=torch.tensor([1, 2]),
            retain_ids=torch.tensor([2, 3]),
        )


def test_names_that_do_not_fit_their_rows_are_refused() -> None:
    with pytest.raises(ShapeMismatch):
        UnlearningData(samples(0), samples(0), samples(0), 2, forget_ids=torch.tensor([1]))
    names = {"forget_ids": torch.tensor([1, 2]), "retain_ids": torch.tensor([3])}
    with pytest.raises(ShapeMismatch, match="forget_ids"):
        UnlearningData(samples(0), samples(0), samples(0), 2, **names)


def test_bytes_and_floats_are_not_mixed() -> None:
    stored = LabelledSet(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]))
    floats = LabelledSet(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]))
    with pytest.raises(WrongDtype, match="retain"):
        UnlearningData(stored, floats, stored, 2)
    with pytest.raises(WrongDtype):
        stored.followed_by(floats)
    with pytest.raises(ShapeMismatch):
        floats.followed_by(LabelledSet(torch.zeros(2, 1, 3, 3), torch.tensor([0, 1])))


def test_a_single_class_is_refused() -> None:
    with pytest.raises(TooFewClasses, match="1 classes"):
        UnlearningData(samples(0), samples(0), samples(0), 1)
