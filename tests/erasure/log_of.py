"""One request's part of the audit log, whether it has its place in the tree or not."""

from typing import Any

from app.runtime import Runtime
from tests.erasure.replay import entries


def entries_of(runtime: Runtime, request: str, kind: str) -> list[dict[str, Any]]:
    """The facts of its entries of this kind, oldest first."""
    with runtime.database.read() as session:
        found = entries(session)
    return [
        dict(entry["facts"])
        for entry in found
        if entry["kind"] == kind and entry["facts"].get("request") == request
    ]
