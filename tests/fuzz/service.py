"""The service that is tried: a process of its own, on a database and in a folder of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app import migrate
from benchmarks.api_servers import environment, serving
from benchmarks.databases import databases, settings_for
from tests.fuzz.stock import Stock, fill
from tests.opendsr.conftest import DOMAIN, issue


@contextmanager
def running(dialect: str) -> Iterator[tuple[str, Stock]]:
    """Where it answers, and what it holds. Neither calls nor refused log-ins are limited."""
    with databases(dialect) as database, tempfile.TemporaryDirectory() as folder:
        migrate.upgrade(database)
        files = issue(Path(folder) / "opendsr")
        settings = settings_for(database, Path(folder) / "data").model_copy(
            update={
                "public_url": f"https://{DOMAIN}",
                "opendsr_key": files.key,
                "opendsr_certificate": str(files.certificate),
                "rate_limit": "",
                "login_failure_limit": "",
            }
        )
        stock = fill(settings)
        with serving("app.main:create_app", environment(settings)) as server:
            yield f"http://127.0.0.1:{server.port}", stock
