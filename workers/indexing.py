"""Writes a dataset's shards and row references, part by part.

Until the dataset is `ready` nobody looks at them, and only the attempt that holds the registration
writes.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.registry.artifacts import SAFETENSORS, note_stored
from app.registry.checks import DatasetCheck
from app.registry.tables import DatasetShard, Sample, SampleSubject
from app.runtime import Runtime
from workers import parts
from workers.references import REFERENCE_BYTES, SPLITS, RowIndex
from workers.shards import ShardFile


def insert_rows(
    runtime: Runtime,
    check: DatasetCheck,
    shards: Sequence[ShardFile],
    index: RowIndex,
    *,
    beat: Callable[[], None],
    now: datetime,
) -> None:
    """The shards' files move into the store with the rows that name them."""
    dataset = check.dataset.id
    shard_ids: list[int] = []
    for files in parts.cut(shards, parts.FILES):
        with parts.part(runtime, check) as session:
            shard_ids += _add_shards(session, dataset, len(shard_ids), files, now)
            # Last, so that only a failing commit can leave a file without its row.
            for file in files:
                runtime.artifacts.adopt(file.path, file.sha256)
        beat()
    ids = array("q")
    for samples in parts.cut(_samples(dataset, shards, shard_ids, index), parts.ROWS):
        with parts.part(runtime, check) as session:
            session.execute(insert(Sample), samples)
            ids.extend(_ids(session, dataset, len(ids)))
        beat()
    for subjects in parts.cut(_subjects(ids, index), parts.ROWS):
        with parts.part(runtime, check) as session:
            session.execute(insert(SampleSubject), subjects)
        beat()


def _add_shards(
    session: Session, dataset: UUID, number: int, files: Sequence[ShardFile], now: datetime
) -> list[int]:
    for file in files:
        note_stored(session, file.sha256, size=file.size, media_type=SAFETENSORS, now=now)
    shards = [
        DatasetShard(
            dataset_id=dataset,
            number=number + position,
            artifact_sha256=file.sha256,
            first_row=file.first_row,
            row_count=file.row_count,
        )
        for position, file in enumerate(files)
    ]
    session.add_all(shards)
    session.flush()
    return [shard.id for shard in shards]


def _ids(session: Session, dataset: UUID, first_row: int) -> Sequence[int]:
    """Rows were inserted in order, but only the database knows the ids that it gave them."""
    return session.scalars(
        select(Sample.id)
        .where(Sample.dataset_id == dataset, Sample.row >= first_row)
        .order_by(Sample.row)
    ).all()


def _samples(
    dataset: UUID, shards: Sequence[ShardFile], shard_ids: Sequence[int], index: RowIndex
) -> Iterator[dict[str, Any]]:
    for shard, shard_id in zip(shards, shard_ids, strict=True):
        for row in range(shard.first_row, shard.first_row + shard.row_count):
            yield {
                "dataset_id": dataset,
                "shard_id": shard_id,
                "row": row,
                "sample_ref": _reference(index.sample_refs, row),
                "split": SPLITS[index.splits[row]],
                "label": index.labels[row],
            }


def _subjects(ids: Sequence[int], index: RowIndex) -> Iterator[dict[str, Any]]:
    for position, row in enumerate(index.subject_rows):
        yield {
            "sample_id": ids[row],
            "subject_ref": _reference(index.subject_refs, position),
            "identity_type": index.columns[index.subject_columns[position]].type,
            "key_id": index.key_id,
        }


def _reference(references: bytearray, position: int) -> bytes:
    return bytes(references[position * REFERENCE_BYTES : (position + 1) * REFERENCE_BYTES])
