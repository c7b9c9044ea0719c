"""Destroys files that nothing needs: uploads whose registration ended, and strays of a crash."""

import re
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from app.erasure import candidates, unneeded
from app.registry.artifacts import (
    LONGEST_UNUSED,
    is_stored,
    note_destroyed,
    reason_to_discard,
    stored_names,
)
from app.registry.checks import is_current
from app.restore.service import is_paused
from app.runtime import Runtime

_WORK = re.compile(r"dataset-([0-9a-f]{32})-([0-9]+)")


def work_of(dataset: UUID, attempt: int) -> str:
    """Name of the folder in which an attempt writes a dataset's shards before they are stored."""
    return f"dataset-{dataset.hex}-{attempt}"


def clear_leftovers(runtime: Runtime, *, now: datetime) -> None:
    """Nothing goes while the service is paused. After a restore a file may be all that is left of
    what the backup does not know, so everything waits until a person has seen the list. A pause
    that begins meanwhile is noticed before the next file."""
    if _is_paused(runtime):
        return
    _clear_uploads(runtime, now)
    _clear_work(runtime)
    _end_candidates(runtime, now)
    clear_unneeded(runtime, now=now)
    _clear_strays(runtime, now)
    if not _is_paused(runtime):
        runtime.artifacts.sweep_drafts(now - LONGEST_UNUSED)


def _is_paused(runtime: Runtime) -> bool:
    with runtime.database.read() as session:
        return is_paused(session)


def _clear_uploads(runtime: Runtime, now: datetime) -> None:
    store = runtime.artifacts
    for file in store.staged():
        with runtime.database.read() as session:
            if is_paused(session):
                return
            reason = reason_to_discard(session, file, now=now)
        if reason is None:
            continue
        # The file first: if the service dies in between, the row promises too much and never less.
        store.discard(file.owner, file.sha256)
        _note_gone(runtime, file.sha256, file.owner, reason, now)


def _clear_work(runtime: Runtime) -> None:
    """Half-written shards of an attempt that was replaced, or that ended without its worker."""
    for name in runtime.artifacts.work_names():
        if not _is_needed(runtime, name):
            runtime.artifacts.clear_work(name)


def _is_needed(runtime: Runtime, work: str) -> bool:
    named = _WORK.fullmatch(work)
    if named is None:
        return False
    with runtime.database.read() as session:
        if is_paused(session):
            return True
        return is_current(session, UUID(hex=named[1]), int(named[2]))


def _end_candidates(runtime: Runtime, now: datetime) -> None:
    with runtime.database.read() as session:
        over = candidates.over(session, now=now)
    for version in over:
        with runtime.database.write() as session:
            candidates.end(session, version, now=now)


def no_step() -> None:
    """Nobody watches."""


def clear_unneeded(runtime: Runtime, *, now: datetime, step: Callable[[], None] = no_step) -> None:
    """Stored files that no version or shard needs any more, and that nobody may still read; `step`
    before each."""
    with runtime.database.write() as session:
        if is_paused(session):
            return
        unneeded.let_orphans_go(session, now=now)
        waiting = unneeded.waiting(session)
    for sha256 in waiting:
        step()
        with runtime.database.write() as session:
            unneeded.destroy(session, runtime.artifacts, sha256, now=now)


def _clear_strays(runtime: Runtime, now: datetime) -> None:
    """Stored files that no committed row knows."""
    store = runtime.artifacts
    with runtime.database.read() as session:
        if is_paused(session):
            return
        known = stored_names(session)
    before = now - LONGEST_UNUSED
    for sha256, written_at in store.stored():
        if sha256 in known or written_at >= before:
            continue
        with runtime.database.write() as session:
            if is_paused(session):
                return
            if not is_stored(session, sha256):
                store.destroy_older(sha256, before)
        _note_gone(runtime, sha256, None, "unused", now)


def _note_gone(
    runtime: Runtime, sha256: str, controller: UUID | None, reason: str, now: datetime
) -> None:
    store = runtime.artifacts
    with runtime.database.write() as session:
        if not (store.exists(sha256) or store.is_staged_by_anyone(sha256)):
            note_destroyed(session, sha256, controller=controller, reason=reason, now=now)
