"""One dataset from its uploaded manifest to shards and references, or to a problem."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from app.erasure import arrivals, suppression
from app.observability import fields
from app.registry import attempts, checks
from app.registry.checks import DatasetCheck, DatasetContent
from app.registry.schemas import SubjectColumn
from app.registry.tables import OnSuppressed
from app.runtime import Runtime
from workers import removal
from workers.content import SuppressedPersons, UploadMissing
from workers.indexing import insert_rows
from workers.leftovers import work_of
from workers.manifest import open_manifest
from workers.references import RowIndex
from workers.shards import ShardFile, ShardWriter

log = logging.getLogger("lotus.registration")


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
    if check.attempt > attempts.LAST_ATTEMPT:
        raise attempts.crashed()
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
    classes = len(dataset.class_names)
    manifest = open_manifest(upload, dataset.task, classes, columns, beat=beat)
    index = RowIndex(runtime.keyring, dataset.id, columns, _suppressed(runtime, check, now))
    writer = ShardWriter(folder)
    for batch in manifest.batches():
        index.add(batch)
        writer.add(batch.inputs)
        beat()
    index.check()
    if index.suppressed_rows and dataset.on_suppressed is OnSuppressed.REFUSE:
        raise SuppressedPersons(index.suppressed_rows)
    return index, writer.finish(), manifest.input_shape or ()


def _suppressed(runtime: Runtime, check: DatasetCheck, now: datetime) -> frozenset[bytes]:
    """As of now: whoever asks while the rows are read finds no dataset yet, and is met by the model
    that comes with it."""
    with runtime.database.read() as session:
        return suppression.tags(session, check.dataset.controller_id, now=now)


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
        pseudonym_key_check=runtime.keyring.pseudonym_check(index.key_id),
        split_counts=counts,
        suppressed_rows=index.suppressed_rows,
    )
    exists = runtime.artifacts.exists
    fresh = [shard.sha256 for shard in shards if not exists(shard.sha256)]
    try:
        insert_rows(runtime, check, shards, index, beat=beat, now=now_fn())
        with runtime.database.write() as session:
            checks.end_dataset_ready(session, check, content, now=now_fn())
            arrivals.dataset_ready(session, check.dataset.controller_id, index.key_id, index.met)
    except BaseException:
        removal.remove_rows(runtime, check, beat=beat)
        removal.remove_files(runtime, check, fresh, beat=beat)
        raise
    if index.suppressed_rows:
        log.warning(
            "rows of persons whose data must not come back",
            extra=fields(dataset=check.dataset.id, rows=index.suppressed_rows),
        )
