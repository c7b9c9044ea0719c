"""One re-check, from its claim to its figures: `python -m workers.recheck RECHECK ATTEMPT`.

A process of its own, like a run, with the same exit codes. It trains nothing: each model answers
once about the samples of its cases and about the unseen rows.
"""

import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import torch

from app import observability
from app.audit.kinds import worker_actor
from app.config import Settings
from app.erasure import recheck_ends, recheck_leases
from app.erasure.locks import LeaseLost
from app.erasure.recheck_ends import Found, RecheckFence, held_still
from app.erasure.recheck_tables import RecheckState
from app.observability import fields
from app.runtime import Runtime
from app.version import code_version
from workers import comparing, failures, torch_device
from workers.comparing import RecheckJob
from workers.heartbeat import EXIT_LEASE_LOST, Heartbeat
from workers.parent import end_with_parent
from workers.persistence import persist

log = logging.getLogger("lotus.recheck")

# A pass over some thousand rows takes seconds; what stands still for so long hangs.
LONGEST_STANDSTILL = timedelta(hours=1)


def attempt(
    runtime: Runtime, fence: RecheckFence, moved: Callable[[], None] = lambda: None
) -> RecheckState:
    """`moved` is called with every sign of progress."""
    try:
        device = torch_device.choose(runtime.settings.device)
        job, actor = _begin(runtime, fence, torch_device.name_of(device))
        found = comparing.compare(runtime, job, device, moved)
        return _finish(runtime, fence, found, actor)
    except LeaseLost:
        raise
    except Exception as error:
        return failures.report_recheck(runtime, fence, error, now=datetime.now(UTC))


def _begin(runtime: Runtime, fence: RecheckFence, device: str) -> tuple[RecheckJob, str]:
    with runtime.database.write() as session:
        model, recheck = held_still(session, fence)
        recheck.device, recheck.code_version = device, code_version()
        assert recheck.worker_id is not None, "a leased re-check names its worker"
        return comparing.read_job(session, model, recheck), worker_actor(recheck.worker_id)


def _finish(runtime: Runtime, fence: RecheckFence, found: Found, actor: str) -> RecheckState:
    """Tried again after a commit that got through, the fence no longer holds: LeaseLost, and the
    row tells."""

    def write() -> RecheckState:
        with runtime.database.write() as session:
            return recheck_ends.finish(
                session, runtime.keyring, fence, found, actor=actor, now=datetime.now(UTC)
            )

    return persist(write, seconds=runtime.settings.lease_seconds)


def main(arguments: list[str]) -> int:
    end_with_parent()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    settings = Settings()
    observability.configure(settings.log_level)
    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    runtime = Runtime.open(settings)
    fence = RecheckFence(UUID(hex=arguments[0]), int(arguments[1]))
    try:
        with Heartbeat(
            runtime, fence, renew=recheck_leases.renew, longest=LONGEST_STANDSTILL
        ) as heartbeat:
            state = attempt(runtime, fence, heartbeat.moved)
    except LeaseLost:
        log.info("lease lost", extra=fields(recheck=fence.recheck_id))
        return EXIT_LEASE_LOST
    log.info("re-check ended", extra=fields(recheck=fence.recheck_id, state=state))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
