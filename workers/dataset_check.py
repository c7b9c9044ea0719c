"""One dataset from its uploaded manifest to shards and references, or to a problem."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from app.erasure.tables import SuppressionEntry
from app.registry import checks
from app.registry.checks import DatasetCheck, DatasetContent
from app.registry.schemas import SubjectColumn
from app.runtime import Runtime
from workers import removal
from workers.content import UploadMissing
from workers.indexing import insert_rows
from workers.leftovers import work_of
from workers.manifest import open_manifest
from workers.references import RowIndex
from workers.shards import ShardFile, ShardWriter


def register(
    runtime: Runtime,
    check: DatasetCheck,
    *,
    beat: Callable[[], None],
    now_fn: Callable[[], datetime],
) -> None:
    """Raises a ContentProblem if the manifest cannot be used, or RegistrationCrashed after the last
    attempt; then nothing of it is left.

    Reading, checking and writing shards happen outside of any transaction, rows are written in many
    short ones, and `ready` comes in the last.
    """
    removal.remove_rows(runtime, check, beat=beat)  # what a dead attempt may have left
    if check.attempt > checks.LAST_ATTEMPT:
        raise checks.crashed()
    work = work_of(check.dataset.id, check.attempt)
    folder = runtime.artifacts.work_folder(work)
    try:
        index, shards, shape = _read(runtime, check, folder, beat, now_fn())
        beat()
        _store(runtime, check, index, shards, shape, beat, now_fn)
    finally:
        runtime.artifacts.clear_work(work)


def _read(
    runtime: Runtime,
    check: DatasetCheck,
    folder: Path,
    beat: Callable[[], None],
    now: datetime,
) -> tuple[RowIndex, list[ShardFile], tuple[int, ...]]:
    dataset = check.dataset
    upload = runtime.artifacts.staged_path(dataset.controller_id, dataset.upload_sha256)
    if not upload.is_file():
        raise UploadMissing("Upload the manifest again and register it anew.")
    columns = [SubjectColumn.model_validate(column) for column in dataset.subject_columns]
    manifest = open_manifest(upload, dataset.task, len(dataset.class_names), columns)
    index = RowIndex(runtime.keyring, dataset.id, columns, _suppressed(runtime, check, now))
    writer = ShardWriter(folder)
    for batch in manifest.batches():
        index.add(batch)
        writer.add(batch.inputs)
        beat()
    index.check()
    return index, writer.finish(), manifest.input_shape or ()


def _suppressed(runtime: Runtime, check: DatasetCheck, now: datetime) -> frozenset[bytes]:
    with runtime.database.read() as session:
        return frozenset(
            session.scalars(
                select(SuppressionEntry.tag)
                .where(SuppressionEntry.controller_id == check.dataset.controller_id)
                .where(SuppressionEntry.until > now)
            )
        )


def _store(
    runtime: Runtime,
    check: DatasetCheck,
    index: RowIndex,
    shards: list[ShardFile],
    shape: tuple[int, ...],
    beat: Callable[[], None],
    now_fn: Callable[[], datetime],
) -> None:
    counts = {split.value: count for split, count in index.split_counts().items()}
    content = DatasetContent(
        input_shape=shape,
        pseudonym_key_id=index.key_id,
        split_counts=counts,
        suppressed_rows=index.suppressed_rows,
    )
    exists = runtime.artifacts.exists
    fresh = [shard.sha256 for shard in shards if not exists(shard.sha256)]
    try:
        insert_rows(runtime, check, shards, index, beat=beat, now=now_fn())
        with runtime.database.write() as session:
            checks.end_dataset_ready(session, check, content, now=now_fn())
    except BaseException:
        removal.remove_rows(runtime, check, beat=beat)
        removal.remove_files(runtime, check, fresh, beat=beat)
        raise
