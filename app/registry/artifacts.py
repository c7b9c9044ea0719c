"""The rows beside the files: what was uploaded, and what is no longer needed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.http.problems import Problem
from app.registry.tables import (
    Artifact,
    ArtifactState,
    Dataset,
    DatasetShard,
    Model,
    ModelVersion,
    RegistrationState,
    VersionState,
)
from app.storage import ArtifactStore, StagedFile

OCTETS = "application/octet-stream"
PARQUET = "application/vnd.apache.parquet"
SAFETENSORS = "application/vnd.safetensors"
# A media type is kept for people to read; nothing is decided by it.
MEDIA_TYPES = (OCTETS, PARQUET, SAFETENSORS)

# An upload that no registration ever named, or a file that no row knows, is kept this long.
LONGEST_UNUSED = timedelta(days=1)


def known_type(media_type: str) -> str:
    return media_type if media_type in MEDIA_TYPES else OCTETS


class UnknownArtifact(Problem):
    status = 422
    code = "unknown-artifact"
    title = "The artifact has not been uploaded"


class DigestMismatched(Problem):
    status = 422
    code = "digest-mismatch"
    title = "The content does not have the SHA-256 that the address names"


class UploadAborted(Problem):
    status = 400
    code = "upload-aborted"
    title = "The upload ended before its last byte"


def require_staged(
    session: Session, store: ArtifactStore, controller: UUID, sha256: str
) -> Artifact:
    """The upload's row, if this controller sent the bytes and nothing has used them up since."""
    artifact = session.get(Artifact, sha256)
    if artifact is None or not store.is_staged(controller, sha256):
        raise UnknownArtifact("Upload the file first: PUT /api/v1/artifacts/{sha256}.")
    return artifact


def note_upload(
    session: Session, sha256: str, *, size: int, media_type: str, now: datetime
) -> Artifact:
    """The row of a file that has just been staged. Content stored before stays `stored`."""
    artifact = session.get(Artifact, sha256)
    if artifact is None:
        fresh = Artifact(
            sha256=sha256,
            size=size,
            media_type=known_type(media_type),
            state=ArtifactState.STAGED,
            created_at=now,
        )
        try:
            with session.begin_nested():
                session.add(fresh)
        except IntegrityError:  # the same content, uploaded twice at the same moment
            artifact = session.get_one(Artifact, sha256)
        else:
            return fresh
    if artifact.state is ArtifactState.DESTROYED:
        artifact.state = ArtifactState.STAGED
        artifact.destroyed_at = artifact.destroyed_reason = None
    return artifact


def note_stored(
    session: Session, sha256: str, *, size: int, media_type: str, now: datetime
) -> Artifact:
    """The row of a file that the service keeps from now on, held until the transaction ends: nobody
    destroys the file of a row that is held."""
    note_upload(session, sha256, size=size, media_type=media_type, now=now)
    session.flush()
    artifact = session.get_one(Artifact, sha256, with_for_update=True, populate_existing=True)
    artifact.state = ArtifactState.STORED
    artifact.unneeded_since = artifact.destroyed_at = artifact.destroyed_reason = None
    return artifact


def take_back(session: Session, store: ArtifactStore, sha256: str) -> None:
    """The opposite of `note_stored`, for a file of a registration that came to nothing: file and
    row go, unless another dataset or a model has them."""
    if _is_named(session, sha256):
        return
    artifact = session.get_one(Artifact, sha256)
    size, media_type, created_at = artifact.size, artifact.media_type, artifact.created_at
    session.delete(artifact)
    # Before the file goes: whoever names the row at this moment makes this fail, or fails itself.
    session.flush()
    store.destroy(sha256)
    if store.is_staged_by_anyone(sha256):
        note_upload(session, sha256, size=size, media_type=media_type, now=created_at)


def _is_named(session: Session, sha256: str) -> bool:
    return any(
        session.scalar(select(column).where(column == sha256).limit(1)) is not None
        for column in (DatasetShard.artifact_sha256, ModelVersion.artifact_sha256)
    )


def note_destroyed(
    session: Session, sha256: str, *, controller: UUID | None, reason: str, now: datetime
) -> None:
    """Marks the row, if its bytes were still said to be here, and enters it in the log."""
    artifact = session.get(Artifact, sha256, with_for_update={"key_share": True})
    if artifact is None or artifact.state is ArtifactState.DESTROYED:
        return
    artifact.state = ArtifactState.DESTROYED
    artifact.destroyed_at, artifact.destroyed_reason = now, reason
    log.append(
        session,
        kinds.ArtifactDestroyed(controller=controller, sha256=sha256, reason=reason),
        now=now,
    )


@dataclass(frozen=True)
class _Use:
    """A registration that named an upload. `pending`: a worker has still to read it."""

    created_at: datetime
    pending: bool
    succeeded: bool


def reason_to_discard(session: Session, file: StagedFile, *, now: datetime) -> str | None:
    """Why a staged file must go: its registrations ended, or none came. Otherwise None."""
    uses = _uses(session, file)
    if any(use.pending for use in uses):
        return None
    # A file that came after a registration waits for one of its own.
    ended = [use for use in uses if use.created_at >= file.arrived_at]
    if ended:
        return "registered" if any(use.succeeded for use in ended) else "invalid"
    return "unused" if file.arrived_at < now - LONGEST_UNUSED else None


def _uses(session: Session, file: StagedFile) -> list[_Use]:
    datasets = session.execute(
        select(Dataset.created_at, Dataset.state)
        .where(Dataset.controller_id == file.owner)
        .where(Dataset.upload_sha256 == file.sha256)
    ).all()
    versions = session.execute(
        select(ModelVersion.created_at, ModelVersion.state)
        .join(Model, Model.id == ModelVersion.model_id)
        .where(Model.controller_id == file.owner)
        .where(ModelVersion.artifact_sha256 == file.sha256)
    ).all()
    return [
        *(
            _Use(at, state is RegistrationState.CHECKING, state is RegistrationState.READY)
            for at, state in datasets
        ),
        *(
            _Use(at, state is VersionState.CHECKING, state is not VersionState.INVALID)
            for at, state in versions
        ),
    ]


def owned_state(session: Session, sha256: str, controller: UUID) -> ArtifactState:
    """State of bytes that this controller has staged, as far as the controller's own registrations
    tell: that another one has stored the same bytes is none of its business."""
    kept = session.scalar(
        select(ModelVersion.id)
        .join(Model, Model.id == ModelVersion.model_id)
        .where(Model.controller_id == controller, ModelVersion.artifact_sha256 == sha256)
        .where(ModelVersion.state.in_(_KEPT))
        .limit(1)
    )
    return ArtifactState.STAGED if kept is None else ArtifactState.STORED


_KEPT = (VersionState.CANDIDATE, VersionState.ACTIVE, VersionState.SUPERSEDED)


def stored_names(session: Session) -> set[str]:
    return set(session.scalars(_STORED))


def is_stored(session: Session, sha256: str) -> bool:
    return session.scalar(_STORED.where(Artifact.sha256 == sha256)) is not None


_STORED = select(Artifact.sha256).where(Artifact.state == ArtifactState.STORED)
