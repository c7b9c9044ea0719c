"""What an error during a run or a re-check means: does another attempt make sense, and what may be
told."""

import logging
from datetime import datetime

import torch
from sqlalchemy.exc import InterfaceError, OperationalError

from app.audit.kinds import SERVICE
from app.erasure import leases, recheck_ends, recheck_leases
from app.erasure.failing import Fault
from app.erasure.locks import Fence
from app.erasure.recheck_ends import RecheckFence
from app.erasure.recheck_tables import RecheckState
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
from workers.unlearning.methods.retrain import FrozenParameters
from workers.unlearning.reader import ProofFailed
from workers.unlearning.settings import InvalidConfig

log = logging.getLogger("lotus.runner")

# Another attempt would meet these again. The first class that fits decides. The last entry says
# whether the rows of one item may be the reason, where others would get through.
_PERMANENT: tuple[tuple[type[Exception], ErrorClass, bool], ...] = (
    (InvalidConfig, ErrorClass.SETTINGS, False),
    (ProofFailed, ErrorClass.INTERNAL, False),
    (EmptySet, ErrorClass.MISSING_DATA, True),
    (MissingUnseenClass, ErrorClass.MISSING_DATA, True),
    (NotReinitialised, ErrorClass.ARCHITECTURE, False),
    (NothingToTrain, ErrorClass.ARCHITECTURE, False),
    (FrozenParameters, ErrorClass.ARCHITECTURE, False),
    (UnlearningError, ErrorClass.NUMERICAL, True),
    (ArchitectureError, ErrorClass.ARCHITECTURE, False),
    (MissingData, ErrorClass.MISSING_DATA, False),
    (MissingArtifact, ErrorClass.MISSING_DATA, False),
    (CorruptArtifact, ErrorClass.MISSING_DATA, False),
)
_PASSING: tuple[tuple[type[Exception], ErrorClass], ...] = (
    (torch.OutOfMemoryError, ErrorClass.OUT_OF_MEMORY),
    (MemoryError, ErrorClass.OUT_OF_MEMORY),
    (OSError, ErrorClass.STORAGE),
    (OperationalError, ErrorClass.STORAGE),
    (InterfaceError, ErrorClass.STORAGE),
    (Exception, ErrorClass.INTERNAL),
)
LONGEST_DETAIL = 500


def report(runtime: Runtime, fence: Fence, error: Exception, *, now: datetime) -> RunState:
    """Ends the attempt: failed, or queued again. Raises LeaseLost like every fenced write."""
    log.error("run failed", exc_info=error, extra=fields(run=fence.run_id))
    with runtime.database.write() as session:
        fault = _permanent(error)
        if fault is not None:
            leases.fail(session, runtime.keyring, fence, fault=fault, actor=SERVICE, now=now)
            return RunState.FAILED
        error_class, detail = _passing(error)
        return leases.give_back(
            session,
            runtime.keyring,
            fence,
            event=Event.CRASHED,
            error_class=error_class,
            detail=detail,
            actor=SERVICE,
            now=now,
        )


def report_recheck(
    runtime: Runtime, fence: RecheckFence, error: Exception, *, now: datetime
) -> RecheckState:
    """The same for a re-check. Whose rows were at fault does not matter: it changes nothing."""
    log.error("re-check failed", exc_info=error, extra=fields(recheck=fence.recheck_id))
    with runtime.database.write() as session:
        fault = _permanent(error)
        if fault is not None:
            model, recheck = recheck_ends.held_still(session, fence)
            recheck_ends.fail(session, model, recheck, fault.error_class, fault.detail, now=now)
            return RecheckState.FAILED
        error_class, detail = _passing(error)
        return recheck_leases.give_back(
            session, fence, error_class=error_class, detail=detail, now=now
        )


def _passing(error: Exception) -> tuple[ErrorClass, str]:
    """The text of an error that we did not write may hold anything; its type may not."""
    error_class = next(named for kind, named in _PASSING if isinstance(error, kind))
    return error_class, type(error).__name__


def _permanent(error: Exception) -> Fault | None:
    for kind, error_class, apart in _PERMANENT:
        if isinstance(error, kind):
            blamed = error.blamed if isinstance(error, MissingData) else frozenset()
            return Fault(error_class, str(error)[:LONGEST_DETAIL], apart=apart, blamed=blamed)
    return None
