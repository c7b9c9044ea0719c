"""How often a caller may call: so many times in a window that moves along with the clock.

The calls of a fleet's processes are counted together in Redis, those of a single machine in its one
process. Counting never stands in the way: while Redis is away every call passes.
"""

import logging
import math
import threading
import time
from collections import OrderedDict, deque
from typing import NamedTuple, Protocol, Self

from anyio import to_thread

from app.http.problems import Problem
from app.observability import fields

log = logging.getLogger("lotus.rates")

# Of so many callers a process keeps the calls; the one not heard of for longest is forgotten first,
# so that nobody fills the memory by calling from many addresses.
MOST_CALLERS = 10_000
# How long a call may wait for Redis, how long Redis is left alone once it did not answer, and how
# often the log says so.
ANSWER_SECONDS = 0.1
REST_SECONDS = 5.0
SILENCE_SECONDS = 60.0

_UNITS = {"second": 1, "minute": 60, "hour": 3600}


class Rate(NamedTuple):
    """So many calls in so many seconds."""

    amount: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """`3000/minute`; None for an empty text, which sets no limit."""
        if not text:
            return None
        amount, _, unit = text.partition("/")
        return cls(int(amount), _UNITS[unit])


class RateLimited(Problem):
    status = 429
    code = "rate-limited"
    title = "Too many calls"


class Calls(Protocol):
    # Whether `wait` itself may take a while.
    is_far: bool

    def wait(self, who: str, rate: Rate) -> float:
        """0 if the caller may go on, and the call is counted; otherwise how many seconds must pass
        first, and it is not."""


class CallsHere:
    """Counted in the memory of this process."""

    is_far = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, who: str, rate: Rate) -> float:
        return self.wait_at(time.monotonic(), who, rate)

    def wait_at(self, now: float, who: str, rate: Rate) -> float:
        with self._lock:
            calls = self._calls.setdefault(who, deque())
            self._calls.move_to_end(who)
            if len(self._calls) > MOST_CALLERS:
                self._calls.popitem(last=False)
            while calls and calls[0] <= now - rate.seconds:
                calls.popleft()
            if len(calls) >= rate.amount:
                return calls[0] + rate.seconds - now
            calls.append(now)
            return 0.0


class CallsInRedis:
    """Counted together with those of other processes."""

    is_far = True

    def __init__(self, url: str) -> None:
        # Where no Redis is set nobody needs these, and they take a while to load.
        from limits.storage import RedisStorage
        from limits.strategies import MovingWindowRateLimiter
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError
        from redis.retry import Retry

        self._errors = (RedisError, OSError)
        options = {
            "socket_timeout": ANSWER_SECONDS,
            "socket_connect_timeout": ANSWER_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        }
        storage = RedisStorage(url, key_prefix="lotus-rates", **options)  # type: ignore[arg-type]
        self._window = MovingWindowRateLimiter(storage)
        self._ask_after = self._silent_until = 0.0

    def wait(self, who: str, rate: Rate) -> float:
        from limits import RateLimitItemPerSecond

        if time.monotonic() < self._ask_after:
            return 0.0
        limit = RateLimitItemPerSecond(rate.amount, rate.seconds)
        try:
            if self._window.hit(limit, who):
                return 0.0
            free_at = self._window.get_window_stats(limit, who).reset_time
        except self._errors as error:
            self._leave_alone(error)
            return 0.0
        return max(free_at - time.time(), 1.0)

    def _leave_alone(self, error: Exception) -> None:
        """Otherwise each of many calls would wait for an answer that does not come."""
        now = time.monotonic()
        self._ask_after = now + REST_SECONDS
        if now >= self._silent_until:
            self._silent_until = now + SILENCE_SECONDS
            log.warning(
                "Redis does not answer: calls are not limited",
                extra=fields(why=type(error).__name__),
            )


class Limit:
    """A limit by its name, as answers call it, and where its calls are counted."""

    def __init__(self, name: str, rate: Rate | None, calls: Calls, said: str) -> None:
        self.name = name
        self.rate = rate
        self._calls = calls
        self._said = said

    async def take_from_loop(self, who: str) -> None:
        """`take`, where nothing may wait: a thread waits for Redis."""
        if self.rate is not None:
            if self._calls.is_far:
                await to_thread.run_sync(self.take, who)
            else:
                self.take(who)

    def take(self, who: str) -> None:
        """Counts a call, or raises RateLimited."""
        if self.rate is None:
            return
        wait = self._calls.wait(who, self.rate)
        if wait <= 0:
            return
        seconds = math.ceil(wait)
        amount, window = self.rate
        raise RateLimited(
            f"{self._said}: {amount} in {window} seconds. Repeat the call in {seconds} seconds.",
            headers={
                "Retry-After": str(seconds),
                # draft-ietf-httpapi-ratelimit-headers
                "RateLimit-Policy": f'"{self.name}";q={amount};w={window}',
                "RateLimit": f'"{self.name}";r=0;t={seconds}',
            },
        )


class Rates(NamedTuple):
    """Refused log-ins are always counted in this process: an address never leaves it, and nobody
    outside can fill a Redis that others need."""

    calls: Limit
    refusals: Limit

    @classmethod
    def of(cls, calls: str, refusals: str, redis_url: str | None) -> Self:
        rate = Rate.parse(calls)
        shared = rate is not None and redis_url is not None
        return cls(
            Limit(
                "calls",
                rate,
                CallsInRedis(redis_url) if shared and redis_url else CallsHere(),
                "The calls of one key are limited",
            ),
            Limit(
                "refused-log-ins",
                Rate.parse(refusals),
                CallsHere(),
                "Log-ins from one address that were refused are limited",
            ),
        )
