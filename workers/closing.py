"""Closes the cases whose rollback window is over, then ends: `python -m workers.closing`.

Every step is a short transaction that can be done again: a process that dies leaves nothing that
the next one would not find.
"""

import hashlib
import logging
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from app import observability
from app.clock import utc_now
from app.config import Settings
from app.erasure import closing, rewriting
from app.erasure.rewriting import NewFile
from app.observability import fields
from app.restore.service import is_paused
from app.runtime import Runtime
from workers.leftovers import clear_unneeded, no_step
from workers.parent import end_with_parent
from workers.shards import read_shard, shard_bytes, without_rows
from workers.watchdog import unwatch, watch

log = logging.getLogger("lotus.closing")

# Reading and writing one shard takes seconds; what takes longer hangs.
LONGEST_STEP = timedelta(minutes=10)


def close_due(
    runtime: Runtime, now_fn: Callable[[], datetime], *, step: Callable[[], None] = no_step
) -> int:
    """Does whatever is due now; returns how many cases came to their end. A fault in one case is
    logged and keeps no other from it.

    While the service is paused nothing is due: what the database calls over may have been reopened
    since the backup. It is asked before each step, since a pause can begin at any moment."""
    with runtime.database.read() as session:
        if is_paused(session):
            return 0
        over = closing.due(session, now_fn(), closed=False)
    for case in over:
        step()
        _one(runtime, [case], now_fn, partial(_close, runtime, case, now_fn()))
    with runtime.database.read() as session:
        shards = rewriting.waiting(session, now=now_fn())
    for shard in shards:
        step()
        with runtime.database.read() as session:
            if is_paused(session):
                return 0
            cases = rewriting.cases_of(session, shard)
        _one(runtime, cases, now_fn, partial(_rewrite, runtime, shard, now_fn()))
    step()
    clear_unneeded(runtime, now=now_fn(), step=step)
    with runtime.database.read() as session:
        closed = closing.due(session, now_fn(), closed=True)
    ended = 0
    for case in closed:
        step()
        ended += _one(runtime, [case], now_fn, partial(_finish, runtime, case, now_fn()))
    step()
    runtime.database.settle()
    return ended


def _one(
    runtime: Runtime, cases: list[UUID], now_fn: Callable[[], datetime], work: Callable[[], bool]
) -> bool:
    try:
        return work()
    except Exception:
        log.exception("closing failed", extra=fields(cases=len(cases)))
    for case in cases:
        with runtime.database.write() as session:
            closing.look_again(session, case, at=now_fn() + closing.AFTER_FAULT)
    return False


def _close(runtime: Runtime, case: UUID, now: datetime) -> bool:
    suppressed_for = timedelta(days=runtime.settings.suppression_days)
    with runtime.database.write() as session:
        return closing.close(session, runtime.keyring, case, suppressed_for=suppressed_for, now=now)


def _rewrite(runtime: Runtime, shard: int, now: datetime) -> bool:
    """Again until no other case has emptied more rows meanwhile."""
    while True:
        with runtime.database.read() as session:
            plan = rewriting.plan(session, shard)
        content = shard_bytes(without_rows(read_shard(runtime.artifacts, plan.sha256), plan.empty))
        new = NewFile(hashlib.sha256(content).hexdigest(), len(content))
        with runtime.database.write() as session:
            rewriting.announce(session, new, now=now)
        runtime.artifacts.put(content)
        with runtime.database.write() as session:
            if rewriting.switch(session, plan, new, now=now):
                return True


def _finish(runtime: Runtime, case: UUID, now: datetime) -> bool:
    with runtime.database.write() as session:
        done = closing.finish(session, case, now=now)
    if done:
        log.info("case closed", extra=fields(request=case))
    return done


def main() -> int:
    end_with_parent()
    settings = Settings()
    observability.configure(settings.log_level)
    runtime = Runtime.open(settings)
    try:
        close_due(runtime, utc_now, step=watch(LONGEST_STEP))
    finally:
        unwatch()
        runtime.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
