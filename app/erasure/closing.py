"""Closing a case at the end of its rollback window.

One transaction decides: the case is closed, its links are cut, the person's rows are emptied, and
what else is to be destroyed is written down. Then shards are written anew and files removed, step
by step and repeatably, and when nothing is left to do a newer certificate says what was destroyed.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.certificates import service as certificates
from app.certificates.statement import Destruction as Stated
from app.erasure import announcing, decisions, destroying, reach, rechecks, recipients
from app.erasure.closing_tables import Destroyed, Destruction
from app.erasure.locks import lock_requests
from app.erasure.states import RequestState
from app.erasure.tables import ErasureRequest
from app.erasure.unneeded import is_needed
from app.ids import controller_id, model_id, request_id
from app.keyring import Keyring
from app.registry.locks import lock_model
from app.registry.tables import Artifact, ArtifactState, DatasetShard, ModelVersion, VersionState
from app.restore.service import is_paused

# How soon a case is looked at again that somebody else's work, or a fault, holds up.
SOON, AFTER_FAULT = timedelta(minutes=1), timedelta(hours=1)


def anything_due(session: Session, now: datetime) -> bool:
    """Whether a case has to be looked at; one read of a small index."""
    query = select(ErasureRequest.id).where(ErasureRequest.next_closing_at <= now)
    return session.scalar(query.limit(1)) is not None


def due(session: Session, now: datetime, *, closed: bool) -> Sequence[UUID]:
    """Cases whose window is over; or, if `closed`, those that wait for what is being destroyed."""
    which = ErasureRequest.closed_at.is_not(None) if closed else ErasureRequest.closed_at.is_(None)
    return session.scalars(
        select(ErasureRequest.id)
        .where(ErasureRequest.next_closing_at <= now, which)
        .order_by(ErasureRequest.next_closing_at, ErasureRequest.id)
    ).all()


def look_again(session: Session, identity: UUID, *, at: datetime) -> None:
    """After a fault, so that one case does not keep the others from their end."""
    (request,) = lock_requests(session, [identity])
    if request.next_closing_at is not None:
        request.next_closing_at = at


def close(
    session: Session, keyring: Keyring, identity: UUID, *, suppressed_for: timedelta, now: datetime
) -> bool:
    """Decides, unless somebody still works with what would be destroyed, or nobody has looked yet
    whether the case holds on the current versions, or the service is paused: then it is for later.
    For `suppressed_for` the person's data is recognised if it comes back.

    From here on nothing of the case can be taken back or reopened.
    """
    request = session.get_one(ErasureRequest, identity)
    for model in sorted(reach.models_held(session, request)):
        lock_model(session, model)
    (request,) = lock_requests(session, [identity])
    if is_paused(session) or not _is_over(request, now):
        return False
    unasked = rechecks.without_an_answer(session, request)
    if unasked and rechecks.may_wait(session, request, now):
        request.next_closing_at = now + SOON
        return False
    versions = reach.versions(session, request)
    if reach.must_wait(session, request, [version.id for version in versions]):
        request.next_closing_at = now + SOON
        return False
    if unasked:
        _say_missed(session, request, unasked, now)
    rows = reach.rows(session, request)
    shards = _lock_shards(session, {row.shard_id for row in rows})
    recipients.keep_versions(session, request)
    destroying.suppress(session, request, until=now + suppressed_for, now=now)
    links = destroying.empty_rows(session, keyring, rows, now=now)
    links += destroying.cut_links(session, request)
    destroying.cut_plots(session, request)
    decisions.cut_notes(session, request.id)
    for version in versions:
        if version.state is not VersionState.DESTROYED:
            destroying.end_version(
                session, version, reason="case_closed", request=request.id, now=now
            )
    _write_down(session, request, links, len(rows), shards, versions, now + suppressed_for, now)
    request.closed_at = request.next_closing_at = now
    request.updated_at, request.row_version = now, request.row_version + 1
    session.flush()
    announcing.request_closed(session, request, now=now)
    return True


def finish(session: Session, identity: UUID, *, now: datetime) -> bool:
    """The newer certificate, once every file is gone that nobody else needs; or it is for later.
    While the service is paused none is made: it could not be taken back."""
    (request,) = lock_requests(session, [identity])
    if request.closed_at is None or request.next_closing_at is None or is_paused(session):
        return False
    decided = session.scalars(
        select(Destruction)
        .where(Destruction.request_id == request.id)
        .order_by(Destruction.id)
        .execution_options(populate_existing=True)
    ).all()
    if not all(_is_done(session, one) for one in decided):
        request.next_closing_at = now + SOON
        return False
    stated = [entry for one in decided for entry in _stated(session, one, now)]
    newer = certificates.restate(session, request.id, stated, now=now)
    if newer is not None:
        announcing.certificate_written(session, request.controller_id, newer, now=now)
    announcing.over(session, request, now=now)
    request.next_closing_at = None
    return True


def _is_over(request: ErasureRequest, now: datetime) -> bool:
    return (
        request.state is RequestState.COMPLETED
        and request.closed_at is None
        and request.next_closing_at is not None
        and request.next_closing_at <= now
    )


def _say_missed(
    session: Session, request: ErasureRequest, models: set[UUID], now: datetime
) -> None:
    log.append(
        session,
        kinds.RecheckMissed(
            controller=controller_id(request.controller_id),
            request=request_id(request.id),
            models=[model_id(model) for model in sorted(models)],
        ),
        now=now,
    )


def _lock_shards(session: Session, ids: Iterable[int]) -> Sequence[DatasetShard]:
    """Whoever writes one of them anew finds these rows emptied, or has to look again."""
    return session.scalars(
        select(DatasetShard)
        .where(DatasetShard.id.in_(ids))
        .order_by(DatasetShard.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def _write_down(
    session: Session,
    request: ErasureRequest,
    links: int,
    rows: int,
    shards: Sequence[DatasetShard],
    versions: Sequence[ModelVersion],
    suppressed_until: datetime,
    now: datetime,
) -> None:
    weights = {version.artifact_sha256 for version in versions}

    def decided(
        what: Destroyed, *, sha256: str | None = None, shard: int | None = None, count: int = 1
    ) -> Destruction:
        return Destruction(
            request_id=request.id,
            what=what,
            sha256=sha256,
            shard_id=shard,
            count=count,
            decided_at=now,
        )

    session.add_all(
        [
            decided(Destroyed.LINKS, count=links),
            *([decided(Destroyed.DATA_ROWS, count=rows)] if rows else []),
            *(decided(Destroyed.SHARD, sha256=s.artifact_sha256, shard=s.id) for s in shards),
            *(decided(Destroyed.WEIGHTS, sha256=sha256) for sha256 in sorted(weights)),
        ]
    )
    log.append(
        session,
        kinds.RequestClosed(
            controller=controller_id(request.controller_id),
            request=request_id(request.id),
            link_count=links,
            row_count=rows,
            shard_count=len(shards),
            version_count=len(versions),
            suppressed_until=suppressed_until,
        ),
        now=now,
    )


def _is_done(session: Session, decided: Destruction) -> bool:
    if decided.sha256 is None:
        return True
    if decided.what is Destroyed.SHARD and decided.rewritten_as is None:
        return False
    stored = session.get_one(Artifact, decided.sha256).state is ArtifactState.STORED
    return not stored or is_needed(session, decided.sha256)


def _stated(session: Session, decided: Destruction, now: datetime) -> list[Stated]:
    """A file that another version or dataset still has is not stated to be gone."""
    if decided.sha256 is None:
        at = decided.decided_at if decided.what is Destroyed.LINKS else now
        return [Stated(what=decided.what, state="done", at=at, count=decided.count)]
    artifact = session.get_one(Artifact, decided.sha256)
    if artifact.state is ArtifactState.STORED:
        return []
    at = artifact.destroyed_at or now
    return [Stated(what=decided.what, state="done", at=at, sha256=decided.sha256)]
