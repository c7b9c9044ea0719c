"""What an error during a run means: whether another attempt makes sense, and what may be told."""

import logging
from datetime import datetime

import torch

from app.audit.kinds import SERVICE
from app.erasure import leases
from app.erasure.locks import Fence
from app.erasure.states import RunState
from app.erasure.tables import ErrorClass
from app.erasure.transitions import Event
from app.observability import fields
from app.runtime import Runtime
from app.storage import CorruptArtifact, MissingArtifact
from workers.architectures import ArchitectureError
from workers.inputs import MissingData
from workers.unlearning.errors import (
    EmptySet,
    MissingUnseenClass,
    NothingToTrain,
    UnlearningError,
)
from workers.unlearning.initialisation import NotReinitialised
from workers.unlearning.settings import InvalidConfig

log = logging.getLogger("lotus.runner")

# Another attempt would meet these again. The first class that fits decides.
_PERMANENT: tuple[tuple[type[Exception], ErrorClass], ...] = (
    (InvalidConfig, ErrorClass.SETTINGS),
    (EmptySet, ErrorClass.MISSING_DATA),
    (MissingUnseenClass, ErrorClass.MISSING_DATA),
    (NotReinitialised, ErrorClass.ARCHITECTURE),
    (NothingToTrain, ErrorClass.ARCHITECTURE),
    (UnlearningError, ErrorClass.NUMERICAL),
    (ArchitectureError, ErrorClass.ARCHITECTURE),
    (MissingData, ErrorClass.MISSING_DATA),
    (MissingArtifact, ErrorClass.MISSING_DATA),
    (CorruptArtifact, ErrorClass.MISSING_DATA),
)
_PASSING: tuple[tuple[type[Exception], ErrorClass], ...] = (
    (torch.OutOfMemoryError, ErrorClass.OUT_OF_MEMORY),
    (MemoryError, ErrorClass.OUT_OF_MEMORY),
    (OSError, ErrorClass.STORAGE),
    (Exception, ErrorClass.INTERNAL),
)
LONGEST_DETAIL = 500


def report(runtime: Runtime, fence: Fence, error: Exception, *, now: datetime) -> RunState:
    """Ends the attempt: failed, or queued again. Raises LeaseLost like every fenced write."""
    log.error("run failed", exc_info=error, extra=fields(run=fence.run_id))
    with runtime.database.write() as session:
        for kind, error_class in _PERMANENT:
            if isinstance(error, kind):
                leases.fail(
                    session,
                    runtime.keyring,
                    fence,
                    error_class=error_class,
                    detail=str(error)[:LONGEST_DETAIL],
                    actor=SERVICE,
                    now=now,
                )
                return RunState.FAILED
        error_class = next(named for kind, named in _PASSING if isinstance(error, kind))
        return leases.give_back(
            session,
            runtime.keyring,
            fence,
            event=Event.CRASHED,
            error_class=error_class,
            # The text of an error that we did not write may hold anything; its type may not.
            detail=type(error).__name__,
            actor=SERVICE,
            now=now,
        )
