"""Every page of the dashboard, as `make e2e` looks at it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Stock:
    """What the service holds. `key` may do everything, `reader` only `requests:read`."""

    url: str
    key: str
    reader: str
    model: str
    # Of the completed request, which it was published by.
    run: str
    # Persons whose samples trained the model, and who have asked for nothing yet.
    persons: list[str]
    # By what became of them: completed, waiting (for an approval), held, refused, cancelled.
    requests: Mapping[str, str]


# Name of the picture: the address after `/dashboard/`.
PAGES: Mapping[str, Callable[[Stock], str]] = {
    "overview": lambda stock: "#/",
    "requests": lambda stock: "#/requests",
    "requests-filtered": lambda stock: "#/requests?state=open&due=overdue",
    "request-completed": lambda stock: f"#/requests/{stock.requests['completed']}",
    "request-waiting": lambda stock: f"#/requests/{stock.requests['waiting']}",
    "request-held": lambda stock: f"#/requests/{stock.requests['held']}",
    "request-refused": lambda stock: f"#/requests/{stock.requests['refused']}",
    "models": lambda stock: "#/models",
    "model": lambda stock: f"#/models/{stock.model}",
    "runs": lambda stock: "#/runs",
    "run": lambda stock: f"#/runs/{stock.run}",
    "audit": lambda stock: "#/audit",
    "audit-of-a-request": lambda stock: f"#/audit?request={stock.requests['waiting']}",
    "keys": lambda stock: "#/keys",
    "unknown-request": lambda stock: f"#/requests/req_{'0' * 32}",
    "no-such-page": lambda stock: "#/nowhere",
}
