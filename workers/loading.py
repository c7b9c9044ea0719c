"""From what is registered to a module and tensors.

The database is read first, and quickly: no session is open while files are read.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from sqlalchemy import select
from torch import Tensor, nn

from app.registry.tables import Dataset, DatasetShard, Sample, SampleSplit, Task
from app.runtime import Runtime
from app.storage import ArtifactStore
from workers import architectures
from workers.shards import Inputs, read_shard
from workers.unlearning.data import LabelledSet
from workers.unlearning.views import View

Ids = npt.NDArray[np.int64]
_SPLITS = tuple(SampleSplit)


@dataclass(frozen=True)
class Loaded:
    """`sample_ids[i]` (N,) names the sample in row i of `labelled`."""

    labelled: LabelledSet
    sample_ids: Ids

    def select(self, rows: Tensor) -> Self:
        """The given rows (indices or a mask), in the given order."""
        return type(self)(self.labelled.select(rows), self.sample_ids[rows.numpy()])


def joined(first: Loaded, second: Loaded) -> Loaded:
    """The rows of both, those of `first` before those of `second`."""
    labelled = first.labelled.followed_by(second.labelled)
    return Loaded(labelled, np.concatenate([first.sample_ids, second.sample_ids]))


def load_model(
    store: ArtifactStore, architecture: str, config: Mapping[str, Any], sha256: str
) -> nn.Module:
    """The network in float32, in eval mode, on the CPU.

    Raises MissingArtifact or CorruptArtifact if the file is not what was registered.
    """
    state = safetensors.torch.load(store.read(sha256))
    model = architectures.build(architecture, config)
    model.load_state_dict(state, strict=True)
    return model.float().eval()


@dataclass(frozen=True)
class _Shard:
    sha256: str
    first_row: int
    row_count: int


class Source:
    """The samples of one dataset as they are stored: (N, *input_shape), uint8 pixels or float32
    features. What a network makes of them is its `view`.

    Sets come in the order of the dataset's rows. Each shard is read and checked once, and kept for
    as long as the source lives.
    """

    def __init__(self, runtime: Runtime, dataset_id: UUID) -> None:
        self._store = runtime.artifacts
        self._contents: dict[str, Inputs] = {}
        with runtime.database.read() as session:
            dataset = session.get_one(Dataset, dataset_id)
            self._input_shape = tuple(dataset.input_shape or ())
            images = dataset.task is Task.IMAGE_CLASSIFICATION
            self._dtype = torch.uint8 if images else torch.float32
            self._shards = [
                _Shard(shard.artifact_sha256, shard.first_row, shard.row_count)
                for shard in session.scalars(
                    select(DatasetShard)
                    .where(DatasetShard.dataset_id == dataset_id)
                    .order_by(DatasetShard.first_row)
                )
            ]
            rows = session.execute(
                select(Sample.id, Sample.row, Sample.label, Sample.split)
                .where(Sample.dataset_id == dataset_id, Sample.destroyed_at.is_(None))
                .order_by(Sample.row)
            ).all()
        self._ids = np.array([row.id for row in rows], dtype=np.int64)
        self._rows = np.array([row.row for row in rows], dtype=np.int64)
        self._labels = np.array([row.label for row in rows], dtype=np.int64)
        self._splits = np.array([_SPLITS.index(row.split) for row in rows], dtype=np.int8)

    def rows(self, sample_ids: Collection[int]) -> Loaded:
        """The samples of these ids, of whatever split."""
        return self._load(np.isin(self._ids, _ids(sample_ids)))

    def split(self, split: SampleSplit, excluded: Collection[int]) -> Loaded:
        """The samples of a split without those whose ids are in `excluded`."""
        wanted = self._splits == _SPLITS.index(split)
        return self._load(wanted & ~np.isin(self._ids, _ids(excluded)))

    def _load(self, wanted: npt.NDArray[np.bool_]) -> Loaded:
        rows = self._rows[wanted]
        inputs = torch.empty((len(rows), *self._input_shape), dtype=self._dtype)
        for shard in self._shards:
            ends = (shard.first_row, shard.first_row + shard.row_count)
            start, stop = np.searchsorted(rows, ends).tolist()
            if start < stop:
                offsets = rows[start:stop] - shard.first_row
                inputs[start:stop] = torch.from_numpy(self._content(shard)[offsets])
        labels = torch.from_numpy(self._labels[wanted])
        return Loaded(LabelledSet(inputs, labels), self._ids[wanted])

    def _content(self, shard: _Shard) -> Inputs:
        if shard.sha256 not in self._contents:
            self._contents[shard.sha256] = read_shard(self._store, shard.sha256)
        return self._contents[shard.sha256]


def view(normalization: Mapping[str, Sequence[float]] | None) -> View:
    """Pixels scaled to [0, 1]; then (x - mean) / std per channel or feature, if the model has a
    normalization."""
    if not normalization:
        return View()
    return View(mean=tuple(normalization["mean"]), std=tuple(normalization["std"]))


def _ids(values: Collection[int]) -> Ids:
    return np.fromiter(values, dtype=np.int64, count=len(values))
