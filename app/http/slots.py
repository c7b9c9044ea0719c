"""How many calls of a long kind one process carries out at a time."""

import threading
from collections import Counter
from collections.abc import Callable

from app.http.problems import Problem


class Busy(Problem):
    status = 503
    code = "busy"
    title = "Too many calls of this kind at a time"


class Slots:
    """`most` for all callers together, and so many of one."""

    def __init__(self, most: int, of_one: int, *, retry_after: int) -> None:
        self.most = most
        self.of_one = of_one
        self._retry_after = retry_after
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, who: str) -> Callable[[], None]:
        """Gives what frees the slot again, and may be called twice; raises Busy if none is free."""
        with self._lock:
            if self._taken.total() >= self.most or self._taken[who] >= self.of_one:
                raise Busy(
                    "This process carries out as many of these calls as it may.",
                    headers={"Retry-After": str(self._retry_after)},
                )
            self._taken[who] += 1
        held = threading.Lock()

        def free() -> None:
            if held.acquire(blocking=False):
                with self._lock:
                    self._taken[who] -= 1
                    self._taken += Counter()  # drops those at zero

        return free
