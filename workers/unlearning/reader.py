"""Training rows, handed out batch by batch and counted: the proof of exact retraining.

A model is exactly retrained if its training read no forget row. That is not measured afterwards but
shown: every row goes through `TrainingReader`, which counts what it served and refuses the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workers.unlearning.data import LabelledSet, RowOutOfRange, UnlearningData
from workers.unlearning.errors import UnlearningError


class ForbiddenRow(UnlearningError):
    """A forget row was asked for; nothing of that batch was handed out."""

    def __init__(self, rows: int, batch: int) -> None:
        super().__init__(f"{rows} of {batch} rows asked for are in the forget set")


class ProofFailed(UnlearningError):
    """What a training was served does not show that it read no forget row."""


@dataclass(frozen=True)
class Served:
    """What a reader handed out so far. Rows are known by their names in the owner's training set.

    equal_rows       allowed rows with the same input, byte for byte, as a forbidden one: another
                     copy of what is to be forgotten, if they are the same person's
    allowed_sha256   of the names that may be served: ascending, 8 bytes each, little-endian
    forbidden_sha256 of the names that may not
    distinct_sha256  of the names that were served; allowed_sha256 once every allowed row was
    """

    rows_in_set: int
    forbidden_rows: int
    equal_rows: int
    batches: int
    rows_served: int  # with repetitions
    distinct_rows_served: int
    forbidden_rows_served: int  # by name, where the refusal goes by place
    refused_batches: int
    allowed_sha256: str
    forbidden_sha256: str
    distinct_sha256: str


class TrainingReader:
    """The training set, of which the forget rows cannot be read."""

    def __init__(self, data: UnlearningData) -> None:
        self._samples = data.forget.followed_by(data.retain)
        self._names = torch.cat(data.row_ids())
        self._forgotten = len(data.forget)  # they come first
        self._times = torch.zeros(len(self._samples), dtype=torch.int64)
        self._batches = self._refused = 0
        self._equal_rows = _equal_rows(data.forget, data.retain)

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def allowed(self) -> Tensor:
        """Places (n_r,) that may be read, ascending."""
        return torch.arange(self._forgotten, len(self._samples))

    def read(self, rows: Tensor) -> LabelledSet:
        """The samples at these places (b,) int64. Raises ForbiddenRow if one of them may not be
        read, RowOutOfRange if there is none."""
        places = rows.cpu()
        outside = int(((places < 0) | (places >= len(self))).sum())
        if outside:
            raise RowOutOfRange(outside, len(rows), len(self))
        forbidden = int((places < self._forgotten).sum())
        if forbidden:
            self._refused += 1
            raise ForbiddenRow(forbidden, len(rows))
        self._batches += 1
        self._times.index_add_(0, places, torch.ones_like(places))
        return self._samples.select(rows.to(self._samples.labels.device))

    def served(self) -> Served:
        read = self._times > 0
        forgotten, allowed = self._names[: self._forgotten], self._names[self._forgotten :]
        return Served(
            rows_in_set=len(self),
            forbidden_rows=len(forgotten),
            equal_rows=self._equal_rows,
            batches=self._batches,
            rows_served=int(self._times.sum()),
            distinct_rows_served=int(read.sum()),
            forbidden_rows_served=int(torch.isin(self._names[read], forgotten).sum()),
            refused_batches=self._refused,
            allowed_sha256=_digest(allowed),
            forbidden_sha256=_digest(forgotten),
            distinct_sha256=_digest(self._names[read]),
        )


def require_proof(served: Served | None, forget_ids: Tensor, retain_ids: Tensor) -> Served:
    """What was served, if it shows that training read D_r and nothing of D_f; else ProofFailed.

    The names are given anew, (n_f,) and (n_r,) int64, so that a reader that was made for other sets
    proves nothing. A batch that was refused handed nothing out, but it should not have been asked
    for.
    """
    if served is None:
        raise ProofFailed("the training did not say what it was served")
    wrong = [
        what
        for what, holds in (
            ("a forget row was served", served.forbidden_rows_served == 0),
            ("a forget row was asked for", served.refused_batches == 0),
            ("no row was served", served.rows_served > 0),
            (
                "other rows than the retain set could be read",
                served.allowed_sha256 == _digest(retain_ids),
            ),
            (
                "other rows than the forget set were refused",
                served.forbidden_sha256 == _digest(forget_ids),
            ),
            ("not every row that may be read was", served.distinct_sha256 == served.allowed_sha256),
            ("the two sets share a row", not bool(torch.isin(retain_ids, forget_ids).any())),
        )
        if not holds
    ]
    if wrong:
        raise ProofFailed(f"no proof of exact retraining: {'; '.join(wrong)}")
    return served


def _equal_rows(forget: LabelledSet, retain: LabelledSet) -> int:
    known = set(_contents(forget))
    return sum(content in known for content in _contents(retain))


def _contents(samples: LabelledSet) -> Iterator[bytes]:
    for chunk in torch.split(samples.inputs, 1_024):
        for row in chunk.cpu().numpy():
            yield hashlib.sha256(row.tobytes()).digest()


def _digest(names: Tensor) -> str:
    return hashlib.sha256(np.sort(names.numpy()).astype("<i8").tobytes()).hexdigest()
