"""The database's side of writing a shard anew: which rows are empty, and the switch of the file."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure.closing_tables import Destroyed, Destruction
from app.erasure.tables import ErasureRequest
from app.erasure.unneeded import is_needed, let_go
from app.ids import controller_id, dataset_id
from app.registry.artifacts import SAFETENSORS, note_stored
from app.registry.tables import Dataset, DatasetShard, Sample


@dataclass(frozen=True)
class Plan:
    """`empty` are positions within the shard, counted from 0."""

    shard: int
    sha256: str
    empty: tuple[int, ...]


@dataclass(frozen=True)
class NewFile:
    sha256: str
    size: int


def waiting(session: Session, *, now: datetime) -> list[int]:
    """Shards that still hold rows of a closed case."""
    return list(
        session.scalars(
            select(Destruction.shard_id)
            .distinct()
            .join(ErasureRequest, ErasureRequest.id == Destruction.request_id)
            .where(*_unwritten, ErasureRequest.next_closing_at <= now)
            .order_by(Destruction.shard_id)
        )
    )


_unwritten = (Destruction.what == Destroyed.SHARD, Destruction.rewritten_as.is_(None))


def plan(session: Session, shard: int) -> Plan:
    row = session.get_one(DatasetShard, shard, populate_existing=True)
    return _plan(session, row)


def announce(session: Session, new: NewFile, *, now: datetime) -> None:
    """Before the file is written: if nothing comes of it, it goes like all that nobody needs."""
    artifact = note_stored(session, new.sha256, size=new.size, media_type=SAFETENSORS, now=now)
    if not is_needed(session, new.sha256):
        artifact.unneeded_since, artifact.destroyed_reason = now, "unused"


def switch(session: Session, made: Plan, new: NewFile, *, now: datetime) -> bool:
    """The shard is the new file from now on; False if more rows were emptied meanwhile.

    A run that reads the old file may go on with it: the file goes when no such run is left.
    """
    shard = session.get_one(DatasetShard, made.shard, with_for_update=True, populate_existing=True)
    if _plan(session, shard) != made:
        return False
    if new.sha256 != made.sha256:
        note_stored(session, new.sha256, size=new.size, media_type=SAFETENSORS, now=now)
        shard.artifact_sha256 = new.sha256
        _log(session, shard, made.sha256, now)
        let_go(session, made.sha256, reason="case_closed", now=now)
    session.execute(
        update(Destruction)
        .where(*_unwritten, Destruction.shard_id == shard.id)
        .values(rewritten_as=new.sha256)
    )
    return True


def cases_of(session: Session, shard: int) -> list[UUID]:
    """The closed cases that wait for this shard."""
    return list(
        session.scalars(
            select(Destruction.request_id)
            .distinct()
            .where(*_unwritten, Destruction.shard_id == shard)
            .order_by(Destruction.request_id)
        )
    )


def _plan(session: Session, shard: DatasetShard) -> Plan:
    rows = session.scalars(
        select(Sample.row)
        .where(Sample.shard_id == shard.id, Sample.destroyed_at.is_not(None))
        .order_by(Sample.row)
    )
    return Plan(shard.id, shard.artifact_sha256, tuple(row - shard.first_row for row in rows))


def _log(session: Session, shard: DatasetShard, replaced: str, now: datetime) -> None:
    dataset = session.get_one(Dataset, shard.dataset_id)
    log.append(
        session,
        kinds.ShardRewritten(
            controller=controller_id(dataset.controller_id),
            dataset=dataset_id(dataset.id),
            number=shard.number,
            sha256=shard.artifact_sha256,
            replaced_sha256=replaced,
        ),
        now=now,
    )
