"""What has to be done again and again, on one machine and in a fleet: each looks first, and costs
next to nothing if nothing is due. Never imports torch."""

import logging
from datetime import datetime, timedelta

from app.audit import sequencer
from app.erasure import closing, leases, queue
from app.observability import fields
from app.registry import checks
from app.restore.service import is_paused
from app.runtime import Runtime
from app.webhooks import replaying
from app.webhooks import service as callbacks
from workers.leftovers import clear_leftovers

log = logging.getLogger("lotus.worker")


def sequence(runtime: Runtime, now: datetime) -> None:
    """Gives committed audit entries their place in the tree."""
    with runtime.database.read() as session:
        if not sequencer.anything_pending(session):
            return
    with runtime.database.write() as session:
        sequencer.sequence(session, now=now)


def sweep(runtime: Runtime, now: datetime) -> None:
    """Takes runs back from workers that fell silent. A fault in one run is logged and keeps no
    other from it."""
    with runtime.database.read() as session:
        expired = leases.expired(session, now=now)
    taken_back = 0
    for fence in expired:
        try:
            with runtime.database.write() as session:
                taken_back += leases.take_back(session, runtime.keyring, fence, now=now)
        except Exception:
            log.exception("expired lease not taken back", extra=fields(run=fence.run_id))
    if taken_back:
        log.warning("expired leases taken back", extra=fields(runs=taken_back))


def clear(runtime: Runtime, now: datetime) -> None:
    """Uploads that were never registered hold identities: they must not wait for a next one."""
    clear_leftovers(runtime, now=now)
    _tidy_callbacks(runtime, now)


def _tidy_callbacks(runtime: Runtime, now: datetime) -> None:
    with runtime.database.write() as session:
        callbacks.call_up(session, now=now)
    before = now - timedelta(days=runtime.settings.callback_days)
    forgotten = replaying.PART
    while forgotten == replaying.PART:
        with runtime.database.write() as session:
            forgotten = 0 if is_paused(session) else replaying.forget(session, before=before)


def uploads_wait(runtime: Runtime, now: datetime) -> bool:
    with runtime.database.read() as session:
        return checks.anything_waits(session, now=now)


def cases_close(runtime: Runtime, now: datetime) -> bool:
    """Is there a completed case whose window is over, or that has begun to close? None is due
    while the service is paused."""
    with runtime.database.read() as session:
        if is_paused(session):
            return False
        return closing.anything_due(session, now)


def runs_wait(runtime: Runtime, now: datetime) -> bool:
    coalesce = timedelta(seconds=runtime.settings.coalesce_seconds)
    with runtime.database.read() as session:
        return bool(queue.candidates(session, coalesce=coalesce, now=now))
