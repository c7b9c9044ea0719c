"""What has to be done again and again, on one machine and in a fleet: each looks first, and costs
next to nothing if nothing is due. Never imports torch."""

import logging
from datetime import datetime, timedelta

from app.audit import sequencer
from app.erasure import (
    closing,
    decisions,
    ended_links,
    leases,
    queue,
    recheck_leases,
    rechecks,
    reminding,
    suppression,
)
from app.http import idempotency
from app.keys import sessions
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
    """Takes runs and re-checks back from workers that fell silent. A fault in one is logged and
    keeps no other from it."""
    with runtime.database.read() as session:
        expired = leases.expired(session, now=now)
        silent = recheck_leases.expired(session, now=now)
    taken_back = 0
    for fence in expired:
        try:
            with runtime.database.write() as session:
                taken_back += leases.take_back(session, runtime.keyring, fence, now=now)
        except Exception:
            log.exception("expired lease not taken back", extra=fields(run=fence.run_id))
    for one in silent:
        try:
            with runtime.database.write() as session:
                taken_back += recheck_leases.take_back(session, one, now=now)
        except Exception:
            log.exception("expired lease not taken back", extra=fields(recheck=one.recheck_id))
    if taken_back:
        log.warning("expired leases taken back", extra=fields(leases=taken_back))


def clear(runtime: Runtime, now: datetime) -> None:
    """Uploads that were never registered hold identities: they must not wait for a next one. Nor
    must what persons wrote about decisions, nor the keys of calls, outlast their time."""
    with runtime.database.read() as session:
        notes = decisions.any_over(session, now=now)
    if notes:
        with runtime.database.write() as session:
            decisions.cut_over(session, now=now)
    clear_leftovers(runtime, now=now)
    _forget_keys(runtime, now)
    _forget_sessions(runtime, now)
    _tidy_callbacks(runtime, now)


def _forget_keys(runtime: Runtime, now: datetime) -> None:
    """Not while the service is paused: callers send again what a backup does not know."""
    with runtime.database.read() as session:
        anything = not is_paused(session) and idempotency.anything_over(session, now=now)
    forgotten = idempotency.PART
    while anything and forgotten >= idempotency.PART:
        with runtime.database.write() as session:
            forgotten = idempotency.forget(session, now=now)


def _forget_sessions(runtime: Runtime, now: datetime) -> None:
    """Paused or not: what is over opens nothing."""
    with runtime.database.read() as session:
        forgotten = sessions.PART if sessions.anything_over(session, now=now) else 0
    while forgotten >= sessions.PART:
        with runtime.database.write() as session:
            forgotten = sessions.forget(session, now=now)


def _tidy_callbacks(runtime: Runtime, now: datetime) -> None:
    with runtime.database.write() as session:
        callbacks.call_up(session, now=now)
    before = now - timedelta(days=runtime.settings.callback_days)
    forgotten = replaying.PART
    while forgotten == replaying.PART:
        with runtime.database.write() as session:
            forgotten = 0 if is_paused(session) else replaying.forget(session, before=before)


def remind(runtime: Runtime, now: datetime) -> None:
    """Tells of requests whose due date comes near."""
    with runtime.database.read() as session:
        requests = reminding.due(session, now=now)
    told = 0
    while requests:
        with runtime.database.write() as session:
            told += reminding.remind(session, requests, now=now)
        with runtime.database.read() as session:
            requests = reminding.due(session, now=now)
    if told:
        log.info("due dates come near", extra=fields(requests=told))


def forget(runtime: Runtime, now: datetime) -> None:
    """What was kept of persons for a time that is over: suppression tags, and references of
    requests that were cancelled or refused. Nothing goes while the service is paused."""
    with runtime.database.read() as session:
        if is_paused(session):
            return
        ended = ended_links.over(session, now=now)
        anything = bool(ended) or suppression.expired(session, now=now)
    while ended:
        for request in ended:
            with runtime.database.write() as session:
                ended_links.cut(session, request, now=now)
        with runtime.database.read() as session:
            ended = ended_links.over(session, now=now)
    removed = suppression.AT_ONCE
    while anything and removed == suppression.AT_ONCE:
        with runtime.database.write() as session:
            removed = suppression.expire(session, now=now)
    if anything:
        runtime.database.settle()


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


def work_waits(runtime: Runtime, now: datetime) -> bool:
    """Is there a run or a re-check for a device?"""
    with runtime.database.read() as session:
        return bool(
            queue.candidates(session, coalesce=runtime.settings.coalesce, now=now)
            or rechecks.candidates(session, now=now)
        )
