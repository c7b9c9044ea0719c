"""The Celery application of a fleet: queues, settings and the timetable. Never imports torch.

    celery -A workers.celery_app worker -P threads -Q gpu -c 1      or: lotus worker gpu
    celery -A workers.celery_app worker -P threads -Q ops -B        or: lotus worker ops

The database is the queue. A message only says that there may be work, so it is acknowledged when it
is taken: one that is lost, late or doubled changes nothing, and no time-out of the broker ever
starts a run a second time.
"""

import logging
from datetime import timedelta
from typing import Any

from celery import Celery, Task, signals
from kombu.entity import Queue

from app import bell, observability
from app.config import Settings

settings = Settings()
if settings.broker_url is None:
    raise RuntimeError("LOTUS_BROKER_URL must be set for Celery's workers")

# Every tick reads first and does nothing if nothing is due, so a doubled timetable does no harm.
SEQUENCE_SECONDS, SEAL_SECONDS, LOOK_SECONDS, DELIVER_SECONDS = 1.0, 1.0, 1.0, 1.0
CLOSE_SECONDS, REMIND_SECONDS, CLEAR_SECONDS, FORGET_SECONDS = 30.0, 60.0, 3600.0, 3600.0


def _every(task: str, seconds: float) -> dict[str, Any]:
    # A tick that waited so long has been made up for by others. Not shorter: the clocks of the
    # machine that sends and the one that takes it may differ.
    return {
        "task": task,
        "schedule": timedelta(seconds=seconds),
        "options": {"queue": bell.OPS_QUEUE, "expires": max(60.0, 2 * seconds)},
    }


class Bound(Task):
    """A task whose log lines carry the id of the HTTP call that rang."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        with observability.as_request(self.request.get(bell.REQUEST_HEADER)):
            return super().__call__(*arguments, **named)


app = Celery("lotus", broker=settings.broker_url, include=["workers.tasks"], task_cls=Bound)
app.conf.update(
    task_queues=[Queue(bell.GPU_QUEUE), Queue(bell.OPS_QUEUE)],
    task_default_queue=bell.OPS_QUEUE,
    task_acks_late=False,
    task_reject_on_worker_lost=False,
    task_ignore_result=True,
    result_backend=None,
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    # A worker that computes takes no message: another one may be free.
    worker_disable_prefetch=True,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_channel_error_retry=True,
    broker_transport_options={
        "socket_keepalive": True,
        "socket_connect_timeout": 5.0,
        # Longer than a blocking read; a connection that is half dead must not block for ever.
        "socket_timeout": 30.0,
        "health_check_interval": 30,
        "retry_on_timeout": True,
    },
    # In memory: every entry is an interval, so there is nothing to remember or to corrupt.
    beat_scheduler="celery.beat:Scheduler",
    beat_max_loop_interval=1.0,
    beat_schedule={
        "sequence": _every("lotus.sequence", SEQUENCE_SECONDS),
        "seal": _every("lotus.seal", SEAL_SECONDS),
        "look": _every("lotus.look", LOOK_SECONDS),
        "deliver": _every(bell.DELIVER_TASK, DELIVER_SECONDS),
        "sweep": _every("lotus.sweep", settings.sweep_seconds),
        "close": _every("lotus.close", CLOSE_SECONDS),
        "remind": _every("lotus.remind", REMIND_SECONDS),
        "clear": _every("lotus.clear", CLEAR_SECONDS),
        "forget": _every("lotus.forget", FORGET_SECONDS),
    },
    enable_utc=True,
    timezone="UTC",
)


@signals.setup_logging.connect
def _our_log(**_: Any) -> None:
    """Celery leaves logging alone where somebody answers this."""
    observability.configure(settings.log_level)
    # A worker's start and end and its broker's absence; a line for each tick would drown them.
    for name in ("celery.apps.worker", "celery.worker.consumer", "celery.beat"):
        logging.getLogger(name).setLevel(logging.WARNING if "beat" in name else logging.INFO)
