"""Statements are compiled once in a process of tests.

SQLAlchemy compiles a statement once for each engine. A service has one for all its life, but each
test has engines of its own, and would spend more time on compiling than on its statements.
"""

from functools import partial
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import Dialect

import app.db


class Compiled(dict[Any, Any]):
    """Keyed by statement and dialect: here by the dialect's class, since those of a session are
    configured alike and speak to servers of one version."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_alike(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_alike(key), value)


def _alike(key: Any) -> Any:
    dialect, *statement = key
    assert isinstance(dialect, Dialect)
    return type(dialect), *statement


compiled = Compiled()


def share_compiled_statements() -> None:
    """In every `Database` of this process."""
    options = {"compiled_cache": compiled}
    app.db.create_engine = partial(create_engine, execution_options=options)
