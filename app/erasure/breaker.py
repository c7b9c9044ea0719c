"""The circuit breaker of a model: when its runs keep failing, no further one begins for a while.

Its items stay scheduled and other models go on. After the pause one run is let through, as there is
never more than one; if it fails too, the next pause is twice as long. A run that comes to a verdict
closes the breaker, whatever the verdict; a person may lift the pause. Whoever calls holds the
model's lock.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure.tables import ErrorClass, Run
from app.erasure.transitions import Cause
from app.ids import controller_id, model_id, run_id
from app.registry.tables import Model

MOST_FAILURES = 3
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=6)
_DOUBLINGS = 16  # more would only make a larger number than the longest pause


def is_open(model: Model, now: datetime) -> bool:
    """No run of the model may begin at present."""
    return model.paused_until is not None and model.paused_until > now


def may_begin(now: datetime) -> ColumnElement[bool]:
    """The same for a query over models."""
    return or_(Model.paused_until.is_(None), Model.paused_until <= now)


def is_open_now(now: datetime) -> ColumnElement[bool]:
    return Model.paused_until > now


def pause_after(failures: int) -> timedelta | None:
    """How long no run begins after so many failures in a row; None for the first few."""
    if failures < MOST_FAILURES:
        return None
    doublings: int = min(failures - MOST_FAILURES, _DOUBLINGS)
    return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)


def count_failure(
    session: Session, model: Model, run: Run, error_class: ErrorClass, cause: Cause
) -> None:
    model.consecutive_failures += 1
    pause = pause_after(model.consecutive_failures)
    if pause is None:
        return
    model.paused_until, model.paused_reason = cause.now + pause, error_class
    log.append(
        session,
        kinds.ModelPaused(
            controller=controller_id(model.controller_id),
            model=model_id(model.id),
            run=run_id(run.id),
            until=cause.now + pause,
            consecutive_failures=model.consecutive_failures,
            error_class=error_class,
        ),
        now=cause.now,
    )


def close(session: Session, model: Model, cause: Cause) -> None:
    """A run came to a verdict."""
    _reset(session, model, "closed", cause)


def lift(session: Session, model: Model, cause: Cause) -> None:
    """A person wants runs to begin again at once. Nothing happens where nothing is paused."""
    _reset(session, model, "lifted", cause)


def _reset(session: Session, model: Model, event: str, cause: Cause) -> None:
    model.consecutive_failures = 0
    if model.paused_until is None:
        return
    model.paused_until = model.paused_reason = None
    log.append(
        session,
        kinds.ModelResumed(
            controller=controller_id(model.controller_id),
            model=model_id(model.id),
            event=event,
            actor=cause.actor,
        ),
        now=cause.now,
    )
