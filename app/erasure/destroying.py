"""What closing a case does to the tables: rows emptied, links cut, versions at their end.

Each of these is part of the one transaction that closes the case. The bytes go afterwards.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TypeVar
from uuid import UUID

from sqlalchemy import bindparam, delete, null, select, update
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.certificates.commitment import leaf_of
from app.db import rows_changed
from app.erasure import named_samples
from app.erasure.reach import Row
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    ItemSample,
    RequestSubject,
    Run,
    RunItem,
    SuppressionEntry,
    UnlearnedSample,
)
from app.erasure.unneeded import let_go
from app.ids import controller_id, model_id, request_id, version_id
from app.keyring import Keyring
from app.registry.tables import (
    Dataset,
    Model,
    ModelVersion,
    Sample,
    SampleSplit,
    SampleSubject,
    VersionState,
)

AT_ONCE = 1_000
T = TypeVar("T")


def empty_rows(session: Session, keyring: Keyring, rows: Sequence[Row], *, now: datetime) -> int:
    """Leaves nothing of the samples but their places; returns how many links went with them."""
    links = 0
    for part in _parts(rows):
        _keep_leaves(session, keyring, {row.id: row.sample_ref for row in part})
        links += rows_changed(
            session.execute(
                delete(SampleSubject).where(SampleSubject.sample_id.in_([row.id for row in part]))
            )
        )
        session.connection().execute(
            update(Sample)
            .where(Sample.id == bindparam("sample"))
            .values(sample_ref=bindparam("nothing"), label=0, destroyed_at=now),
            [{"sample": row.id, "nothing": _nothing(row.id)} for row in part],
        )
    _count_down(session, rows)
    return links


def cut_links(session: Session, request: ErasureRequest) -> int:
    items = select(ErasureItem.id).where(ErasureItem.request_id == request.id)
    named_samples.unlink(
        session,
        session.scalars(
            select(RequestSubject.subject_ref).where(
                RequestSubject.request_id == request.id,
                RequestSubject.identity_type == named_samples.NAMED_SAMPLES,
            )
        ).all(),
    )
    return sum(
        rows_changed(session.execute(cut))
        for cut in (
            delete(ItemSample).where(ItemSample.item_id.in_(items)),
            delete(RequestSubject).where(RequestSubject.request_id == request.id),
        )
    )


def cut_plots(session: Session, request: ErasureRequest) -> None:
    """Of every run that unlearned samples of the case or tried to, others' cases in it or not:
    nobody can tell whose samples a line stands for."""
    items = select(ErasureItem.id).where(ErasureItem.request_id == request.id)
    formed_with = select(RunItem.run_id).where(RunItem.item_id.in_(items))
    # An earlier case's run may have taken the same samples already.
    covered_by = select(ErasureItem.run_id).where(
        ErasureItem.request_id == request.id, ErasureItem.run_id.is_not(None)
    )
    session.execute(
        update(Run)
        .where(Run.id.in_(formed_with.union(covered_by)), Run.plots.is_not(None))
        .values(plots=null())
        .execution_options(synchronize_session=False)
    )


def suppress(session: Session, request: ErasureRequest, *, until: datetime, now: datetime) -> None:
    """The person's tags stay, so that data of this person does not come back unnoticed."""
    tags = set(
        session.scalars(
            select(RequestSubject.suppression_tag).where(RequestSubject.request_id == request.id)
        )
    )
    known = set(
        session.scalars(
            select(SuppressionEntry.tag).where(SuppressionEntry.request_id == request.id)
        )
    )
    session.add_all(
        SuppressionEntry(
            controller_id=request.controller_id,
            tag=tag,
            request_id=request.id,
            created_at=now,
            until=until,
        )
        for tag in sorted(tags - known)
    )
    session.flush()


def end_version(
    session: Session,
    version: ModelVersion,
    *,
    reason: str,
    request: UUID | None = None,
    now: datetime,
) -> None:
    """Nobody can use the version any more. Its file goes once no other version has the same."""
    version.state = VersionState.DESTROYED
    model = session.get_one(Model, version.model_id)
    log.append(
        session,
        kinds.VersionDestroyed(
            controller=controller_id(model.controller_id),
            model=model_id(model.id),
            version=version_id(version.id),
            number=version.number,
            sha256=version.artifact_sha256,
            reason=reason,
            request=request_id(request) if request else None,
        ),
        now=now,
    )
    let_go(session, version.artifact_sha256, reason=reason, now=now)


def _keep_leaves(session: Session, keyring: Keyring, references: dict[int, bytes]) -> None:
    """What other persons' later certificates need of these samples: their part in the commitments
    of the runs that unlearned them, which tells nothing without the reference."""
    unlearned = session.execute(
        select(UnlearnedSample.model_id, UnlearnedSample.sample_id, UnlearnedSample.run_id).where(
            UnlearnedSample.sample_id.in_(references)
        )
    ).all()
    if not unlearned:
        return
    session.connection().execute(
        update(UnlearnedSample)
        .where(
            UnlearnedSample.model_id == bindparam("model"),
            UnlearnedSample.sample_id == bindparam("sample"),
            UnlearnedSample.run_id == bindparam("run"),
        )
        .values(leaf=bindparam("own")),
        [
            {
                "model": model,
                "sample": sample,
                "run": run,
                "own": leaf_of(references[sample], keyring.forget_set_salt(run)),
            }
            for model, sample, run in unlearned
        ],
    )


def _count_down(session: Session, rows: Sequence[Row]) -> None:
    gone = Counter((row.dataset_id, row.split) for row in rows)
    for identity in sorted({row.dataset_id for row in rows}):
        dataset = session.get_one(
            Dataset, identity, with_for_update={"key_share": True}, populate_existing=True
        )
        dataset.split_counts = {
            split: count - gone[identity, SampleSplit(split)]
            for split, count in (dataset.split_counts or {}).items()
        }
    session.flush()


def _nothing(sample: int) -> bytes:
    """In place of a reference: from the row's number alone, since no two may be equal."""
    return hashlib.sha256(f"destroyed sample {sample}".encode()).digest()


def _parts(things: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(things)
    while some := list(islice(remaining, AT_ONCE)):
        yield some
