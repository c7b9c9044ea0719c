"""What the audit log costs a service that takes in requests.

Two servers over one database take turns, the second with the log's `append` taken out. 16
connections keep a server busy: then what an entry costs is work that others wait for. One
connection waits for the commit of each of its calls, which hides much of it.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

from fastapi import FastAPI

from app.audit import log
from app.config import Settings
from app.main import create_app
from benchmarks.api_servers import Server, environment, serving
from benchmarks.http_load import load
from benchmarks.stored import prepared, submit

HERE = "benchmarks.audit_intake"
AT_ONCE = {"intake": 16, "intake by one": 1}


def intake(settings: Settings, *, rounds: int, seconds: float) -> dict[str, Any]:
    """Medians over the rounds; the first is not counted, and the order changes with each."""
    key = prepared(settings).key
    variables = environment(settings)
    with (
        serving("app.main:create_app", variables) as whole,
        serving(f"{HERE}:without_log", variables) as bare,
    ):
        found: dict[str, Any] = {}
        for name, connections in AT_ONCE.items():
            rates: dict[str, list[float]] = {"with": [], "without": []}
            for turn in range(rounds + 1):
                servers: list[tuple[str, Server]] = [("with", whole), ("without", bare)]
                for how, server in servers[:: 1 if turn % 2 else -1]:
                    taken = load(server.port, submit(key), connections=connections, seconds=seconds)
                    assert set(taken.statuses) == {202}, taken.statuses
                    rates[how].append(taken.rate)
            middle = {how: statistics.median(some[1:]) for how, some in rates.items()}
            found |= {f"{name}_{how}": rate for how, rate in middle.items()}
            found[f"{name}_ratio"] = middle["with"] / middle["without"]
    return found


def without_log() -> FastAPI:
    """The service, and nothing is written into its log."""
    app = create_app()
    original = log.append
    # Every module that writes entries holds the function by its name.
    for name, module in list(sys.modules.items()):
        if name.startswith("app.") and getattr(module, "append", None) is original:
            vars(module)["append"] = lambda *_, **__: None
    return app
