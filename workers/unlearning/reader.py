"""Training rows, handed out batch by batch and counted: the proof of exact retraining.

A model is exactly retrained if its training read no forget row. That is not measured afterwards but
shown: every row goes through `TrainingReader`, which counts what it served and refuses the rest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workers.unlearning.data import LabelledSet
from workers.unlearning.errors import ShapeMismatch, UnlearningError


class ForbiddenRow(UnlearningError):
    """A forget row was asked for; nothing of that batch was handed out."""

    def __init__(self, rows: int, batch: int) -> None:
        super().__init__(f"{rows} of {batch} rows asked for are in the forget set")


@dataclass(frozen=True)
class Served:
    """What a reader handed out so far. Rows are places in the whole training set.

    allowed_sha256   of the places that may be served: ascending, 8 bytes each, little-endian
    distinct_sha256  of the places that were served; the same once every allowed row was
    """

    rows_in_set: int
    forbidden_rows: int
    batches: int
    rows_served: int  # with repetitions
    distinct_rows_served: int
    forbidden_rows_served: int  # 0, or the reader has a fault: counted apart from the check
    refused_batches: int
    allowed_sha256: str
    distinct_sha256: str


class TrainingReader:
    """The training set, of which the rows marked `forbidden` (N,) bool cannot be read."""

    def __init__(self, samples: LabelledSet, forbidden: Tensor) -> None:
        if forbidden.dtype != torch.bool or forbidden.shape != samples.labels.shape:
            raise ShapeMismatch("labels and forbidden", samples.labels.shape, forbidden.shape)
        self._samples = samples
        self._forbidden = forbidden.to(samples.labels.device)
        self._times = torch.zeros(len(samples), dtype=torch.int64, device=samples.labels.device)
        self._batches = self._refused = 0

    @property
    def allowed(self) -> Tensor:
        """Places (n_r,) that may be read, ascending."""
        return torch.nonzero(~self._forbidden).flatten()

    def read(self, rows: Tensor) -> LabelledSet:
        """The samples at these places (b,). Raises ForbiddenRow if one of them may not be read."""
        rows = rows.to(self._samples.labels.device)
        forbidden = int(self._forbidden[rows].sum())
        if forbidden:
            self._refused += 1
            raise ForbiddenRow(forbidden, len(rows))
        self._batches += 1
        self._times.index_add_(0, rows, torch.ones_like(rows))
        return LabelledSet(self._samples.inputs[rows], self._samples.labels[rows])

    def served(self) -> Served:
        times = self._times.cpu()
        forbidden = self._forbidden.cpu()
        return Served(
            rows_in_set=len(times),
            forbidden_rows=int(forbidden.sum()),
            batches=self._batches,
            rows_served=int(times.sum()),
            distinct_rows_served=int((times > 0).sum()),
            forbidden_rows_served=int(times[forbidden].sum()),
            refused_batches=self._refused,
            allowed_sha256=_digest(~forbidden),
            distinct_sha256=_digest(times > 0),
        )


def _digest(mask: Tensor) -> str:
    places = np.flatnonzero(mask.numpy()).astype("<i8")
    return hashlib.sha256(places.tobytes()).hexdigest()
