"""Files that nobody needs any more, and when their bytes may go.

Whoever lets a file go only says so, in the transaction that makes it so. The bytes go later, in a
transaction that holds the file's row: whoever names the file again has to hold that row as well.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure.closing_tables import Destruction
from app.erasure.recheck_tables import Recheck, RecheckState
from app.erasure.states import LEASED_RUN
from app.erasure.tables import ErasureRequest, Run
from app.registry.artifacts import LONGEST_UNUSED, note_destroyed
from app.registry.tables import (
    Artifact,
    ArtifactState,
    DatasetShard,
    Model,
    ModelVersion,
    VersionState,
)
from app.restore.service import is_paused
from app.storage import ArtifactStore

# A run stores its weights first and names them in its last transaction: a file put there lately may
# be about to be named.
LATELY = timedelta(minutes=10)
# How far the clocks of two machines may differ.
CLOCK_SKEW = timedelta(minutes=5)

_GONE = (VersionState.INVALID, VersionState.DESTROYED)


def is_needed(session: Session, sha256: str) -> bool:
    return session.scalar(select(Artifact.sha256).where(Artifact.sha256 == sha256, _named)) is not (
        None
    )


_named = or_(
    exists().where(DatasetShard.artifact_sha256 == Artifact.sha256),
    exists().where(
        ModelVersion.artifact_sha256 == Artifact.sha256, ModelVersion.state.not_in(_GONE)
    ),
)


def let_go(session: Session, sha256: str, *, reason: str, now: datetime) -> None:
    """For the transaction that removed the last name, or one of several: then nothing happens."""
    session.flush()
    artifact = _held(session, sha256)
    if artifact.state is ArtifactState.STORED and not is_needed(session, sha256):
        artifact.unneeded_since, artifact.destroyed_reason = now, reason
        session.flush()


def let_orphans_go(session: Session, *, now: datetime) -> None:
    """Stored files, older than a day, that no row names and that nobody has let go."""
    orphans = session.scalars(
        select(Artifact.sha256)
        .where(Artifact.state == ArtifactState.STORED, Artifact.unneeded_since.is_(None), ~_named)
        .where(Artifact.created_at < now - LONGEST_UNUSED)
        .order_by(Artifact.sha256)
    ).all()
    for sha256 in orphans:
        let_go(session, sha256, reason="unused", now=now)


def waiting(session: Session) -> list[str]:
    """Files that were let go and are still here."""
    return list(
        session.scalars(
            select(Artifact.sha256)
            .where(Artifact.state == ArtifactState.STORED, Artifact.unneeded_since.is_not(None))
            .order_by(Artifact.sha256)
        )
    )


def destroy(session: Session, store: ArtifactStore, sha256: str, *, now: datetime) -> bool:
    """Removes the bytes if they may go now, and says so in the log. Done again after a crash, it
    ends what was begun: the file goes first, so that a row promises too much and never less.

    Nothing goes while the service is paused: a file may be all that is left of what a backup does
    not know."""
    if is_paused(session):
        return False
    artifact = _held(session, sha256)
    if artifact.state is not ArtifactState.STORED or artifact.unneeded_since is None:
        return False
    if is_needed(session, sha256):
        artifact.unneeded_since = artifact.destroyed_reason = None
        return False
    if _may_be_read(session, artifact.unneeded_since):
        return False
    store.destroy_older(sha256, now - LATELY)
    if store.exists(sha256):
        return False
    owner, reason = _owner(session, sha256), artifact.destroyed_reason or "unused"
    if not store.is_staged_by_anyone(sha256):
        note_destroyed(session, sha256, controller=owner, reason=reason, now=now)
        return True
    # Somebody has sent the same bytes again: that upload is for its own registration to end.
    artifact.state = ArtifactState.STAGED
    artifact.unneeded_since = artifact.destroyed_reason = None
    log.append(
        session,
        kinds.ArtifactDestroyed(controller=owner, sha256=sha256, reason=reason),
        now=now,
    )
    return True


def _held(session: Session, sha256: str) -> Artifact:
    return session.get_one(Artifact, sha256, with_for_update=True, populate_existing=True)


def _may_be_read(session: Session, since: datetime) -> bool:
    """A run notes at its start which files it will read, and so does a re-check; one that started
    before the file was let go may have noted it."""
    latest = since + CLOCK_SKEW
    runs = select(Run.id).where(Run.state.in_(LEASED_RUN), Run.started_at <= latest)
    others = select(Recheck.id).where(
        Recheck.state == RecheckState.RUNNING, Recheck.started_at <= latest
    )
    return any(session.scalar(readers.limit(1)) is not None for readers in (runs, others))


def _owner(session: Session, sha256: str) -> UUID | None:
    """Whose log the destruction belongs in."""
    of_weights = (
        select(Model.controller_id)
        .join(ModelVersion, ModelVersion.model_id == Model.id)
        .where(ModelVersion.artifact_sha256 == sha256)
    )
    of_shard = (
        select(ErasureRequest.controller_id)
        .join(Destruction, Destruction.request_id == ErasureRequest.id)
        .where(Destruction.sha256 == sha256)
    )
    return session.scalar(of_weights.limit(1)) or session.scalar(of_shard.limit(1))
