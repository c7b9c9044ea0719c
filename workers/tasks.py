"""Celery's tasks: each only looks. What there is to do, the database says."""

import logging
from datetime import UTC, datetime
from typing import Any

from celery import signals

from app import bell
from app.observability import fields
from workers import duties, station
from workers.celery_app import app
from workers.pulse import PULSE_TASK

log = logging.getLogger("lotus.worker")


@app.task(name=bell.WORK_TASK)
def work() -> None:
    station.current().work()


@app.task(name=bell.REGISTER_TASK)
def register() -> None:
    if duties.uploads_wait(station.current().runtime, datetime.now(UTC)):
        station.current().have_done(station.REGISTRATION)


@app.task(name="lotus.close")
def close() -> None:
    if duties.cases_close(station.current().runtime, datetime.now(UTC)):
        station.current().have_done(station.CLOSING)


@app.task(name=bell.DELIVER_TASK)
def deliver() -> None:
    """Wakes the threads that send; none of them is this one."""
    station.current().courier.poke()


@app.task(name=PULSE_TASK)
def pulse() -> None:
    station.current().pulse.arrived()


@app.task(name="lotus.sequence")
def sequence() -> None:
    station.current().ticked()
    duties.sequence(station.current().runtime, datetime.now(UTC))


@app.task(name="lotus.seal")
def seal() -> None:
    station.current().sealer.seal(datetime.now(UTC))


@app.task(name="lotus.look")
def look() -> None:
    """Rings for what became ready by the clock alone, or was rung for in vain."""
    runtime, now = station.current().runtime, datetime.now(UTC)
    if duties.work_waits(runtime, now):
        bell.send(app, bell.WORK_TASK, bell.GPU_QUEUE)
    if duties.uploads_wait(runtime, now):
        bell.send(app, bell.REGISTER_TASK, bell.OPS_QUEUE)


@app.task(name="lotus.sweep")
def sweep() -> None:
    duties.sweep(station.current().runtime, datetime.now(UTC))


@app.task(name="lotus.clear")
def clear() -> None:
    duties.clear(station.current().runtime, datetime.now(UTC))


@app.task(name="lotus.remind")
def remind() -> None:
    duties.remind(station.current().runtime, datetime.now(UTC))


@app.task(name="lotus.forget")
def forget() -> None:
    duties.forget(station.current().runtime, datetime.now(UTC))


@signals.task_failure.connect
def _failed(sender: Any, exception: BaseException, einfo: Any, **_: Any) -> None:
    log.error("task failed", exc_info=exception, extra=fields(task=sender.name))
