"""Destroys files that nothing needs: uploads whose registration ended, and strays of a crash."""

from datetime import datetime
from uuid import UUID

from app.registry.artifacts import (
    LONGEST_UNUSED,
    is_stored,
    note_destroyed,
    reason_to_discard,
    stored_names,
)
from app.registry.checks import is_checking
from app.runtime import Runtime

_WORK_PREFIX = "dataset-"


def work_of(dataset: UUID) -> str:
    """Name of the folder in which a dataset's shards are written before they are stored."""
    return _WORK_PREFIX + dataset.hex


def _dataset_of(work: str) -> UUID | None:
    try:
        return UUID(hex=work.removeprefix(_WORK_PREFIX))
    except ValueError:
        return None


def clear_leftovers(runtime: Runtime, *, now: datetime) -> None:
    _clear_uploads(runtime, now)
    _clear_work(runtime)
    _clear_strays(runtime, now)
    runtime.artifacts.sweep_drafts(now - LONGEST_UNUSED)


def _clear_uploads(runtime: Runtime, now: datetime) -> None:
    store = runtime.artifacts
    for file in store.staged():
        with runtime.database.read() as session:
            reason = reason_to_discard(session, file, now=now)
        if reason is None:
            continue
        # The file first: if the service dies in between, the row promises too much and never less.
        store.discard(file.owner, file.sha256)
        _note_gone(runtime, file.sha256, file.owner, reason, now)


def _clear_work(runtime: Runtime) -> None:
    """Half-written shards of a registration that has ended without its worker."""
    for name in runtime.artifacts.work_names():
        dataset = _dataset_of(name)
        with runtime.database.read() as session:
            needed = dataset is not None and is_checking(session, dataset)
        if not needed:
            runtime.artifacts.clear_work(name)


def _clear_strays(runtime: Runtime, now: datetime) -> None:
    """Stored files that no committed row knows."""
    store = runtime.artifacts
    with runtime.database.read() as session:
        known = stored_names(session)
    for sha256, written_at in store.stored():
        if sha256 in known or written_at >= now - LONGEST_UNUSED:
            continue
        with runtime.database.write() as session:
            if not is_stored(session, sha256):
                store.destroy(sha256)
        _note_gone(runtime, sha256, None, "unused", now)


def _note_gone(
    runtime: Runtime, sha256: str, controller: UUID | None, reason: str, now: datetime
) -> None:
    store = runtime.artifacts
    if store.exists(sha256) or store.is_staged_by_anyone(sha256):
        return
    with runtime.database.write() as session:
        note_destroyed(session, sha256, controller=controller, reason=reason, now=now)
