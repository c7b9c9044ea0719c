"""What this process has answered: calls by route and status, and how long they took."""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# From a status read to an upload of gigabytes.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class Timings:
    """Labels are bounded: the route's template, never its path, and methods that HTTP knows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "lotus_http_requests",
            "HTTP calls answered by this process.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "lotus_http_request_seconds",
            "Time from the first byte of a call to the last of its answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        ProcessCollector(namespace="lotus", registry=self.registry)

    def observe(self, method: str, route: str | None, status: int, seconds: float) -> None:
        named = method if method in _METHODS else "other"
        self._calls.labels(named, route or "none", str(status)).inc()
        self._seconds.labels(route or "none").observe(seconds)
