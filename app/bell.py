"""Tells waiting workers that there may be work. May fail: the sweep finds what a lost ring missed.

On a single machine the bell is a byte in a FIFO of the data folder. With a broker it is some Celery
messages that say nothing but "look": which work there is, only the database knows.
"""

import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from app.config import Settings
from app.db import after_commit
from app.observability import current_request_id, fields

if TYPE_CHECKING:
    from celery import Celery

log = logging.getLogger("lotus.bell")

# Queues and tasks by name: the API knows nothing else of the workers.
GPU_QUEUE, OPS_QUEUE = "gpu", "ops"
WORK_TASK, REGISTER_TASK, DELIVER_TASK = "lotus.work", "lotus.register", "lotus.deliver"
_HEARD = ((WORK_TASK, GPU_QUEUE), (REGISTER_TASK, OPS_QUEUE), (DELIVER_TASK, OPS_QUEUE))
# The header that carries the id of the HTTP call that rang, for the worker's log.
REQUEST_HEADER = "lotus_request_id"
# So many rings that nobody has heard yet are enough for any number of workers. Without a limit a
# fleet whose GPUs are all busy, or gone, would fill Redis within days.
MOST_RINGS = 64
BROKER_SECONDS = 2.0
COMPLAIN_EVERY_SECONDS = 60.0

_broker_bells: dict[str, "BrokerBell"] = {}
_making = threading.Lock()


def ring(settings: Settings) -> None:
    if settings.broker_url is None:
        _ring_fifo(settings.bell_path)
    else:
        _broker_bell(settings.broker_url).ring(current_request_id())


def ring_after_commit(session: Session, settings: Settings) -> None:
    """A bell before the commit would wake a worker that finds nothing yet."""
    after_commit(session, "bell", lambda: ring(settings))


class BrokerBell:
    """Rings from a thread of its own, so that no HTTP call ever waits for the broker. Rings that
    come while one is being sent become one: a look answers them all."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._due = threading.Event()
        self._request_id: str | None = None
        self._complained_at = -COMPLAIN_EVERY_SECONDS
        threading.Thread(target=self._send_all, daemon=True, name="bell").start()

    def ring(self, request_id: str | None) -> None:
        self._request_id = request_id
        self._due.set()

    def _send_all(self) -> None:
        celery = sender(self._url)
        while True:
            self._due.wait()
            self._due.clear()
            try:
                for task, queue in _HEARD:
                    send(celery, task, queue, request_id=self._request_id)
            except Exception as error:
                # The broker is away, or worse; what rang has committed, and a worker will look.
                if time.monotonic() - self._complained_at >= COMPLAIN_EVERY_SECONDS:
                    self._complained_at = time.monotonic()
                    log.warning("bell not heard", extra=fields(error=type(error).__name__))


def sender(url: str) -> "Celery":
    """A Celery that only sends; it gives up on a silent broker within seconds."""
    from celery import Celery

    celery = Celery("lotus", broker=url, set_as_current=False)
    celery.conf.update(
        task_serializer="json",
        task_ignore_result=True,
        broker_pool_limit=1,
        broker_connection_timeout=BROKER_SECONDS,
        broker_transport_options={
            "socket_timeout": BROKER_SECONDS,
            "socket_connect_timeout": BROKER_SECONDS,
            "socket_keepalive": True,
        },
    )
    return celery


def send(celery: "Celery", task: str, queue: str, *, request_id: str | None = None) -> None:
    """One message, unless enough of them wait; raises whatever the broker's client raises."""
    with celery.pool.acquire(block=True, timeout=BROKER_SECONDS) as connection:
        if connection.default_channel.client.llen(queue) >= MOST_RINGS:
            return
    headers = {} if request_id is None else {REQUEST_HEADER: request_id}
    celery.send_task(task, queue=queue, headers=headers, ignore_result=True, retry=False)


def _broker_bell(url: str) -> BrokerBell:
    with _making:
        if url not in _broker_bells:
            _broker_bells[url] = BrokerBell(url)
        return _broker_bells[url]


def _ring_fifo(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(descriptor, b"!")
        finally:
            os.close(descriptor)
    except OSError as error:
        # Nobody listens, the pipe is full, or worse: the call that rings has committed, so nothing
        # may fail it any more, and a worker will look of its own accord.
        log.debug("bell not heard", extra=fields(errno=error.errno))
