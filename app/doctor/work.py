"""Whether work goes on: workers, leases, states that last too long, the audit log."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.audit.check import check
from app.audit.tables import PendingEntry
from app.doctor.findings import Finding, ok, problem, some, warning
from app.erasure import breaker
from app.erasure.states import LEASED_RUN, REQUEST, RUN, Owner, RequestState, RunState
from app.erasure.tables import ErasureRequest, Run
from app.erasure.worker_tables import SILENCE, Worker, WorkerRole
from app.ids import model_id, request_id, run_id
from app.registry.tables import Model, ModelVersion, RegistrationState, VersionState
from app.restore import service as restore

# Sweeps come every 15 s, and the sequencer every second.
LEASE_LONG_EXPIRED = timedelta(minutes=5)
LONGEST_PENDING = timedelta(minutes=1)

_ACTIONS = {
    Owner.SERVICE: "Look into the service's log for the request's id.",
    Owner.WORKER: "Is a worker running, and is it free? Its log says what it does.",
    Owner.DECIDER: "A person must decide: POST /api/v1/erasure-requests/{id}/decide.",
    Owner.CONTROLLER: "Ask the organisation that sent it.",
}
_ACTIONS_IN = {
    RequestState.AWAITING_APPROVAL: "Somebody must approve or refuse it: `lotus approve ID`.",
    RequestState.ON_HOLD: "Somebody must look again: `lotus resume ID`, or `lotus refuse ID`.",
}


def workers(session: Session, *, now: datetime) -> Finding:
    heard = Counter(session.scalars(select(Worker.role).where(Worker.heartbeat_at > now - SILENCE)))
    if not heard[WorkerRole.LOCAL] and not heard[WorkerRole.GPU]:
        return warning(
            "workers",
            "none that computes was heard of in the last two minutes: requests are accepted and "
            "wait",
            "Start `lotus serve` on a single machine, or `lotus worker gpu` in a fleet.",
        )
    if heard[WorkerRole.GPU] and not heard[WorkerRole.OPS] and not heard[WorkerRole.LOCAL]:
        return warning(
            "workers",
            "none of the queue `ops` was heard of: leases, uploads and the audit log's order wait",
            "Start `lotus worker ops`.",
        )
    known = ", ".join(f"{count} {role}" for role, count in sorted(heard.items()))
    return ok("workers", f"heard of: {known}")


def leases(session: Session, *, now: datetime) -> Finding:
    """An expired lease is taken back within seconds, as long as anyone sweeps."""
    expired = session.scalars(
        select(Run.id).where(Run.state.in_(LEASED_RUN), Run.lease_until < now - LEASE_LONG_EXPIRED)
    ).all()
    if expired:
        return problem(
            "leases",
            f"expired for more than five minutes: {some(expired, run_id)}",
            "Nobody sweeps: start `lotus worker ops`, or `lotus serve` on a single machine.",
        )
    return ok("leases", "none has been expired for long")


def stuck(session: Session, *, now: datetime) -> Iterator[Finding]:
    """Requests and runs that have been in a state for longer than it may last."""
    found = False
    for state, place in REQUEST.items():
        if place.owner is None or place.longest is None:
            continue
        # A hold may have an end of its own.
        late = or_(
            ErasureRequest.held_until < now,
            and_(
                ErasureRequest.held_until.is_(None),
                ErasureRequest.updated_at < now - place.longest,
            ),
        )
        requests = _ids(session, ErasureRequest.id, [ErasureRequest.state == state, late])
        if requests:
            found = True
            term = "its end, or " if state is RequestState.ON_HOLD else ""
            said = f"longer than {term}{place.longest} in {state}: {some(requests, request_id)}"
            yield warning("states", said, _ACTIONS_IN.get(state, _ACTIONS[place.owner]))
    for run_state, place in RUN.items():
        if place.owner is None or place.longest is None:
            continue
        since = Run.created_at if run_state is RunState.QUEUED else Run.started_at
        runs = _ids(session, Run.id, [Run.state == run_state, since < now - place.longest])
        if runs:
            found = True
            said = f"longer than {place.longest} in {run_state}: {some(runs, run_id)}"
            yield warning("states", said, _ACTIONS[place.owner])
    if not found:
        yield ok("states", "no request and no run has waited for longer than it may")


def models(session: Session) -> Finding:
    active = exists().where(
        ModelVersion.model_id == Model.id, ModelVersion.state == VersionState.ACTIVE
    )
    without = _ids(session, Model.id, [Model.state == RegistrationState.READY, ~active])
    if without:
        return problem(
            "models",
            f"without an active version: {some(without, model_id)}",
            "Register a version: requests that concern the model cannot be carried out.",
        )
    return ok("models", "each has an active version")


def paused_models(session: Session, *, now: datetime) -> Finding:
    paused = _ids(session, Model.id, [breaker.is_open_now(now)])
    if paused:
        return warning(
            "paused models",
            f"whose runs kept failing: {some(paused, model_id)}",
            "GET /api/v1/models/{id} names the error. Mend it, then POST .../resume, or wait: one "
            "run is tried when the pause ends.",
        )
    return ok("paused models", "none")


def audit(session: Session, *, now: datetime) -> Iterator[Finding]:
    oldest = session.scalar(select(func.min(PendingEntry.created_at)))
    if oldest is not None and now - oldest > LONGEST_PENDING:
        yield problem(
            "audit log",
            f"entries have waited for their place since {oldest:%Y-%m-%d %H:%M} UTC",
            "Nobody sequences: start `lotus worker ops`, or `lotus serve` on a single machine.",
        )
    result = check(session)
    if not result.ok:
        yield problem(
            "audit log",
            f"was changed: {result.first_fault}",
            "Keep a copy of the database as it is, find out who could write to it, and compare "
            "with a backup. Do not repair it in place.",
        )
    else:
        entries = f"{result.entries} entries and {result.pending} pending"
        yield ok("audit log", f"{entries}, every hash fits")


def going(session: Session) -> Finding:
    state = restore.state_of(session)
    if state is None or state.pause_reason is None:
        return ok("restore", "not paused")
    return problem(
        "restore",
        f"paused since {state.paused_at:%Y-%m-%d %H:%M} UTC ({state.pause_reason}): "
        "requests are accepted, and no run begins",
        "Run `lotus doctor --after-restore`, read what it lists, then add `--resume`.",
    )


def _ids(
    session: Session, column: InstrumentedAttribute[UUID], conditions: list[ColumnElement[bool]]
) -> list[UUID]:
    return list(session.scalars(select(column).where(*conditions).order_by(column)))
