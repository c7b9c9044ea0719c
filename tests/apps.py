"""The service's app, for tests in this process. Preparing its routes takes longer than most tests,
so apps are prepared once in a process and furnished anew for each user."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from app.config import Settings
from app.main import furnish, prepare_app

_idle: list[FastAPI] = []


@contextmanager
def app_for(settings: Settings) -> Iterator[FastAPI]:
    """As `create_app` makes it, for the block alone. Blocks may stand in each other."""
    app = _idle.pop() if _idle else prepare_app()
    furnish(app, settings)
    yield app
    app.dependency_overrides.clear()
    _idle.append(app)
