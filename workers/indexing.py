"""Writes a dataset's shards and row references into the database, in the caller's transaction."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.registry.artifacts import SAFETENSORS, note_stored
from app.registry.tables import DatasetShard, Sample, SampleSubject
from workers.references import REFERENCE_BYTES, SPLITS, RowIndex
from workers.shards import ShardFile

ROWS_PER_STATEMENT = 5_000


def insert_rows(
    session: Session,
    dataset: UUID,
    shards: Sequence[ShardFile],
    index: RowIndex,
    *,
    now: datetime,
) -> None:
    rows = [_add_shard(session, dataset, number, file, now) for number, file in enumerate(shards)]
    session.flush()
    for part in _parts(_samples(dataset, rows, index)):
        session.execute(insert(Sample), part)
    # Rows were inserted in order, but only the database knows the ids that it gave them.
    ids = session.scalars(
        select(Sample.id).where(Sample.dataset_id == dataset).order_by(Sample.row)
    ).all()
    for part in _parts(_subjects(ids, index)):
        session.execute(insert(SampleSubject), part)


def _add_shard(
    session: Session, dataset: UUID, number: int, file: ShardFile, now: datetime
) -> DatasetShard:
    note_stored(session, file.sha256, size=file.size, media_type=SAFETENSORS, now=now)
    shard = DatasetShard(
        dataset_id=dataset,
        number=number,
        artifact_sha256=file.sha256,
        first_row=file.first_row,
        row_count=file.row_count,
    )
    session.add(shard)
    return shard


def _samples(
    dataset: UUID, shards: Sequence[DatasetShard], index: RowIndex
) -> Iterator[dict[str, Any]]:
    for shard in shards:
        for row in range(shard.first_row, shard.first_row + shard.row_count):
            yield {
                "dataset_id": dataset,
                "shard_id": shard.id,
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


def _parts(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while part := list(islice(rows, ROWS_PER_STATEMENT)):
        yield part
