"""The figures of a scrape, read from the database: every process gives the same ones.

Each statement reads an index or a table that stays small. Labels are states and kinds of device,
never a model, a controller or a person.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.audit.checkpoints import is_rewound, unsealed_since
from app.audit.tables import PendingEntry
from app.erasure import breaker, rechecks
from app.erasure.queue import DUE_SOON, effective_due, is_overdue
from app.erasure.recheck_tables import LIVE, Recheck, RecheckState
from app.erasure.states import LEASED_RUN, OPEN_REQUEST, RUN, RunState
from app.erasure.tables import IS_OPEN, ErasureRequest, Run
from app.erasure.worker_tables import SILENCE, Worker, WorkerRole
from app.registry.tables import Dataset, Model, ModelVersion, RegistrationState, VersionState
from app.restore import service as restore
from app.version import code_version
from app.webhooks.tables import OPEN_DELIVERY, DeliveryState, WebhookDelivery


def read(session: Session, *, now: datetime) -> Iterator[Metric]:
    yield _gauge("lotus_build_info", "The version that runs.", {code_version(): 1}, "version")
    yield from _requests(session, now)
    yield from _runs(session, now)
    yield from _rechecks(session, now)
    yield from _workers(session, now)
    yield from _audit(session, now)
    yield from _around(session, now)


def _requests(session: Session, now: datetime) -> Iterator[Metric]:
    due = effective_due()
    rows = session.execute(
        select(
            ErasureRequest.state,
            func.count(),
            func.min(ErasureRequest.received_at),
            func.count().filter(is_overdue(now)),
            func.count().filter(~is_overdue(now), due < now + DUE_SOON),
        )
        .where(IS_OPEN)
        .group_by(ErasureRequest.state)
    ).all()
    waiting = dict.fromkeys(OPEN_REQUEST, 0) | {row[0]: row[1] for row in rows}
    oldest = dict.fromkeys(OPEN_REQUEST, 0.0) | {row[0]: _age(row[2], now) for row in rows}
    yield _gauge("lotus_requests_open", "Requests that have not ended.", waiting, "state")
    yield _gauge(
        "lotus_requests_oldest_seconds",
        "Time since the oldest open request in this state was received.",
        oldest,
        "state",
    )
    yield _one(
        "lotus_requests_overdue",
        "Open requests whose due date has passed.",
        sum(row[3] for row in rows),
    )
    yield _one(
        "lotus_requests_due_soon",
        "Open requests due within seven days.",
        sum(row[4] for row in rows),
    )


def _runs(session: Session, now: datetime) -> Iterator[Metric]:
    counted = session.execute(select(Run.state, func.count()).group_by(Run.state)).all()
    by_state: dict[RunState, int] = {state: 0 for state in RUN}
    by_state |= {state: count for state, count in counted}
    live = {state: count for state, count in by_state.items() if not RUN[state].ends}
    yield _gauge("lotus_runs_live", "Runs that have not ended.", live, "state")
    ended = {state: count for state, count in by_state.items() if RUN[state].ends}
    yield _counter("lotus_runs_ended", "Runs that ended, by how.", ended, "state")
    expired = select(func.count()).where(Run.state.in_(LEASED_RUN), Run.lease_until < now)
    yield _one(
        "lotus_runs_lease_expired",
        "Runs whose worker fell silent and that nobody has taken back.",
        session.scalar(expired) or 0,
    )
    seconds = session.execute(
        select(Run.device, func.sum(_run_seconds(session)))
        .where(Run.finished_at.is_not(None), Run.device.is_not(None))
        .group_by(Run.device)
    ).all()
    yield _counter(
        "lotus_run_device_seconds",
        "Time that ended runs held a device, by its name: their last attempts only.",
        {device: float(total or 0) for device, total in seconds},
        "device",
    )


def _rechecks(session: Session, now: datetime) -> Iterator[Metric]:
    counted = dict(
        session.execute(select(Recheck.state, func.count()).group_by(Recheck.state)).all()
    )
    ended = {state: counted.get(state, 0) for state in RecheckState if state not in LIVE}
    yield _counter("lotus_rechecks_ended", "Re-checks that ended, by how.", ended, "state")
    yield _gauge(
        "lotus_rechecks_live",
        "Re-checks that have not ended.",
        {state: counted.get(state, 0) for state in LIVE},
        "state",
    )
    late = Model.recheck_at < now - rechecks.PATIENCE
    yield _one(
        "lotus_rechecks_late",
        "Models whose completed cases nobody has compared for a day after they should have been.",
        _count(session, late),
    )
    total = session.scalar(select(func.sum(Recheck.relapsed_count))) or 0
    yield CounterMetricFamily(
        "lotus_relapses", "Completed cases that a later version knew again.", value=total
    )


def _workers(session: Session, now: datetime) -> Iterator[Metric]:
    heard = dict(
        session.execute(
            select(Worker.role, func.count())
            .where(Worker.heartbeat_at > now - SILENCE)
            .group_by(Worker.role)
        ).all()
    )
    yield _gauge(
        "lotus_workers",
        "Workers heard of in the last two minutes.",
        dict.fromkeys(WorkerRole, 0) | heard,
        "role",
    )


def _audit(session: Session, now: datetime) -> Iterator[Metric]:
    count, oldest = session.execute(select(func.count(), func.min(PendingEntry.created_at))).one()
    yield _one("lotus_audit_pending", "Audit entries that have no place in the log yet.", count)
    yield _one(
        "lotus_audit_pending_oldest_seconds", "Age of the oldest of them.", _age(oldest, now)
    )
    yield _one(
        "lotus_audit_unsealed_seconds",
        "Age of the oldest audit entry that no signed checkpoint covers.",
        _age(unsealed_since(session), now),
    )
    yield _one(
        "lotus_audit_log_rewound",
        "1 if the log does not continue what was signed, until a person accepts it.",
        int(is_rewound(session)),
    )


def _around(session: Session, now: datetime) -> Iterator[Metric]:
    yield from _callbacks(session, now)
    checking = {
        "dataset": _count(session, Dataset.state == RegistrationState.CHECKING),
        "version": _count(session, ModelVersion.state == VersionState.CHECKING),
    }
    yield _gauge(
        "lotus_registrations_waiting", "Uploads that no worker has checked yet.", checking, "kind"
    )
    yield _one(
        "lotus_models_paused",
        "Models whose runs keep failing: none begins until a time passes or a person lifts it.",
        _count(session, breaker.is_open_now(now)),
    )
    yield _one(
        "lotus_paused",
        "1 after a restore, until a person says go.",
        int(restore.is_paused(session)),
    )


def _callbacks(session: Session, now: datetime) -> Iterator[Metric]:
    found = {
        state: (count, oldest)
        for state, count, oldest in session.execute(
            select(WebhookDelivery.state, func.count(), func.min(WebhookDelivery.created_at))
            .where(WebhookDelivery.state.in_((*OPEN_DELIVERY, DeliveryState.DEAD)))
            .group_by(WebhookDelivery.state)
        )
    }
    waiting = [found[state] for state in OPEN_DELIVERY if state in found]
    yield _gauge(
        "lotus_webhook_deliveries",
        "Callbacks that wait, and those given up.",
        {
            DeliveryState.WAITING: sum(count for count, _ in waiting),
            DeliveryState.DEAD: found.get(DeliveryState.DEAD, (0, None))[0],
        },
        "state",
    )
    yield _one(
        "lotus_webhook_deliveries_oldest_seconds",
        "Age of the oldest callback that waits.",
        _age(min((oldest for _, oldest in waiting), default=None), now),
    )


def _count(session: Session, condition: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).where(condition)) or 0


def _run_seconds(session: Session) -> ColumnElement[Any]:
    if session.get_bind().dialect.name == "sqlite":
        return (func.julianday(Run.finished_at) - func.julianday(Run.started_at)) * 86_400.0
    return func.extract("epoch", Run.finished_at - Run.started_at)


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0


def _one(name: str, said: str, value: float) -> Metric:
    return GaugeMetricFamily(name, said, value=value)


def _gauge(name: str, said: str, values: dict[Any, Any], label: str) -> Metric:
    family = GaugeMetricFamily(name, said, labels=[label])
    for key, value in values.items():
        family.add_metric([_text(key)], value)
    return family


def _counter(name: str, said: str, values: dict[Any, Any], label: str) -> Metric:
    family = CounterMetricFamily(name, said, labels=[label])
    for key, value in values.items():
        family.add_metric([_text(key)], value)
    return family


def _text(key: object) -> str:
    return key.value if isinstance(key, StrEnum) else str(key)
