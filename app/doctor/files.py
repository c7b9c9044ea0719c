"""The artifact store: room, and whether what the database counts on is there."""

import hashlib
import os
import shutil
from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.doctor.findings import Finding, counted, ok, problem, some, warning
from app.registry.tables import Artifact, ArtifactState
from app.storage import ArtifactStore, MissingArtifact

GIBIBYTE = 1024**3
LOW_BYTES, TOO_LOW_BYTES = 10 * GIBIBYTE, 1 * GIBIBYTE
# Without --full: the newest artifacts, so that a check takes seconds whatever is stored.
SOUGHT, READ = 5_000, 10


def room(store: ArtifactStore) -> Finding:
    if not os.access(store.root, os.W_OK):
        return problem(
            "artifacts",
            "the folder cannot be written",
            "Give LOTUS_DATA_DIR/artifacts to the service's user, or mount it writable.",
        )
    free = shutil.disk_usage(store.root).free
    said = f"writable, {free / GIBIBYTE:.1f} GiB free"
    action = "Make room: a run that cannot write its weights is repeated, then fails."
    if free < TOO_LOW_BYTES:
        return problem("artifacts", said, action)
    return warning("artifacts", said, action) if free < LOW_BYTES else ok("artifacts", said)


def content(session: Session, store: ArtifactStore, *, full: bool) -> Iterator[Finding]:
    """Every artifact that must be there is, with its size; and a few, or all, with their digest."""
    stored = (
        select(Artifact.sha256, Artifact.size)
        .where(Artifact.state == ArtifactState.STORED)
        .order_by(Artifact.created_at.desc(), Artifact.sha256)
    )
    rows = session.execute(stored if full else stored.limit(SOUGHT)).all()
    missing, damaged, read = [], [], 0
    for number, (sha256, size) in enumerate(rows):
        try:
            if store.size(sha256) != size:
                damaged.append(sha256)
            elif full or number < READ:
                read += 1
                if digest(store, sha256) != sha256:
                    damaged.append(sha256)
        except MissingArtifact:
            missing.append(sha256)
    restore = "Copy it back from a backup of the artifacts; files are named by their SHA-256."
    if missing:
        yield problem("artifacts", f"missing: {some(missing)}", restore)
    if damaged:
        yield problem("artifacts", f"damaged: {some(damaged)}", restore)
    if not missing and not damaged:
        yield ok(
            "artifacts",
            f"{counted(len(rows), 'file')} of the right size, {read} read and whole"
            + ("" if full else " (--full reads all)"),
        )


def digest(store: ArtifactStore, sha256: str) -> str:
    with store.path(sha256).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
