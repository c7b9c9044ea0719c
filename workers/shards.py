"""Samples as files of about 1,000 rows, so that one file can be rewritten without a person's rows.

A shard is a safetensors file with one tensor, `inputs`: (rows, channels, height, width) uint8, or
(rows, features) float32. Identities, labels and splits are not in it. Equal rows give equal bytes.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from app.storage import ArtifactStore

ROWS = 1_000
LARGEST_BYTES = 64 * 1024 * 1024

Inputs = npt.NDArray[Any]


@dataclass(frozen=True)
class ShardFile:
    """A finished shard outside the store: only a committed registration moves it in."""

    path: Path
    sha256: str
    size: int
    first_row: int
    row_count: int


class ShardWriter:
    """Cuts a stream of batches into shard files of `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[ShardFile] = []
        self._waiting: list[Inputs] = []
        self._first_row = 0

    def add(self, inputs: Inputs) -> None:
        self._waiting.append(inputs)
        rows = rows_per_shard(inputs)
        while sum(map(len, self._waiting)) >= rows:
            pending = np.concatenate(self._waiting)
            self._waiting = [pending[rows:]]
            self._write(pending[:rows])

    def finish(self) -> list[ShardFile]:
        if self._waiting and sum(map(len, self._waiting)):
            self._write(np.concatenate(self._waiting))
        self._waiting = []
        return self.files

    def _write(self, inputs: Inputs) -> None:
        content = shard_bytes(inputs)
        path = self.folder / f"shard-{len(self.files)}"
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        digest = hashlib.sha256(content).hexdigest()
        self.files.append(ShardFile(path, digest, len(content), self._first_row, len(inputs)))
        self._first_row += len(inputs)


def shard_bytes(inputs: Inputs) -> bytes:
    return safetensors.numpy.save({"inputs": np.ascontiguousarray(inputs)})


def without_rows(inputs: Inputs, positions: Sequence[int]) -> Inputs:
    """The same shape, with zeros in these rows: every other row keeps its place."""
    left = inputs.copy()
    left[list(positions)] = 0
    return left


def rows_per_shard(inputs: Inputs) -> int:
    row_bytes: int = inputs[0].nbytes
    return max(1, min(ROWS, LARGEST_BYTES // row_bytes))


def read_shard(store: ArtifactStore, sha256: str) -> Inputs:
    """The rows of one shard; MissingArtifact or CorruptArtifact if they cannot be had."""
    inputs: Inputs = safetensors.numpy.load(store.read(sha256))["inputs"]
    return inputs
