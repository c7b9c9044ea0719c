"""Does this worker still take messages? It sends itself some, and counts those that arrive.

After a broker's restart a consumer can stay connected and take nothing for ever. A worker that is
computing takes no messages either, which is no stall; nor is a broker that is away.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery

from app import bell
from app.observability import fields
from workers.supervisor import log

PULSE_TASK = "lotus.pulse"
# A few may be lost with a broker that restarts empty.
MOST_UNANSWERED = 6
EXIT_STALLED = 70


class Pulse:
    def __init__(self, celery: Celery, queue: str) -> None:
        self._celery, self.queue = celery, queue
        self._lock = threading.Lock()
        self._unanswered = 0
        self._busy = self._answered = False

    def send(self) -> None:
        with self._lock:
            if self._busy:
                return
        try:
            bell.send(self._celery, PULSE_TASK, self.queue)
        except Exception as error:
            log.warning("broker away", extra=fields(error=type(error).__name__))
            with self._lock:
                self._answered = False
            return
        with self._lock:
            self._unanswered += 1

    def arrived(self) -> None:
        with self._lock:
            self._unanswered, self._answered = 0, True

    def stalled(self) -> bool:
        with self._lock:
            return not self._busy and self._unanswered > MOST_UNANSWERED

    def is_answered(self) -> bool:
        """The last message went out and came back: the broker and the consumer are well."""
        with self._lock:
            return self._answered and self._unanswered == 0

    @contextmanager
    def busy(self) -> Iterator[None]:
        """A message was taken; until this ends no other will be."""
        with self._lock:
            self._busy, self._unanswered = True, 0
        try:
            yield
        finally:
            with self._lock:
                self._busy, self._unanswered = False, 0
