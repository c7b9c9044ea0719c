"""Takes back, part by part, what attempts at a dataset wrote that did not make it ready."""

from collections.abc import Callable, Sequence

from sqlalchemy import delete, func, select

from app.registry.artifacts import is_stored, take_back
from app.registry.checks import DatasetCheck
from app.registry.tables import DatasetShard, Sample, SampleSubject
from app.runtime import Runtime
from workers import parts


def remove_rows(runtime: Runtime, check: DatasetCheck, *, beat: Callable[[], None]) -> None:
    """Every row of the dataset, and the files that no other dataset or model has.

    Raises LostRegistration if the attempt no longer holds the registration: then it is for the one
    that does to remove them.
    """
    row: int | None = None
    while (row := _remove_subjects(runtime, check, before=row)) is not None:
        beat()
    while _remove_samples(runtime, check):
        beat()
    while _remove_shards(runtime, check):
        beat()


def remove_files(
    runtime: Runtime, check: DatasetCheck, names: Sequence[str], *, beat: Callable[[], None]
) -> None:
    """Those that came into the store without their rows, because a commit failed."""
    for some in parts.cut(names, parts.FILES):
        with parts.part(runtime, check) as session:
            for sha256 in some:
                if not is_stored(session, sha256):
                    runtime.artifacts.destroy(sha256)
        beat()


def _remove_subjects(runtime: Runtime, check: DatasetCheck, *, before: int | None) -> int | None:
    """From the last row on, and never more than one row's beyond a part; how far it came."""
    own = [Sample.dataset_id == check.dataset.id]
    if before is not None:
        own.append(Sample.row < before)
    with parts.part(runtime, check) as session:
        rows = session.scalars(
            select(Sample.row)
            .join(SampleSubject, SampleSubject.sample_id == Sample.id)
            .where(*own)
            .order_by(Sample.row.desc())
            .limit(parts.ROWS)
        ).all()
        if not rows:
            return None
        samples = select(Sample.id).where(*own, Sample.row >= rows[-1])
        session.execute(delete(SampleSubject).where(SampleSubject.sample_id.in_(samples)))
    return rows[-1]


def _remove_samples(runtime: Runtime, check: DatasetCheck) -> bool:
    """False if there was none left."""
    own = Sample.dataset_id == check.dataset.id
    with parts.part(runtime, check) as session:
        last = session.scalar(select(func.max(Sample.row)).where(own))
        if last is None:
            return False
        session.execute(delete(Sample).where(own, Sample.row > last - parts.ROWS))
    return True


def _remove_shards(runtime: Runtime, check: DatasetCheck) -> bool:
    """False if there was none left."""
    with parts.part(runtime, check) as session:
        shards = session.scalars(
            select(DatasetShard)
            .where(DatasetShard.dataset_id == check.dataset.id)
            .limit(parts.FILES)
        ).all()
        for shard in shards:
            session.delete(shard)
        session.flush()
        for sha256 in {shard.artifact_sha256 for shard in shards}:
            take_back(session, runtime.artifacts, sha256)
    return bool(shards)
