"""Which revision the database is at, and which one this code expects.

Asked by every health check, so without the library that migrates: it is large, and an API process
has no other use for it.
"""

import re
from functools import cache
from importlib.resources import files

from sqlalchemy import String, column, inspect, select, table

from app.db import Database

_STORED = select(column("version_num", String)).select_from(table("alembic_version"))
_REVISION = re.compile(r'^revision: str = "(\d+)"$', re.MULTILINE)


def current(database: Database) -> str | None:
    """None for an empty database."""
    with database.read() as session:
        connection = session.connection()
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.scalar(_STORED)


@cache
def newest() -> str:
    """That of the newest script. Read once: code does not change under those who ask."""
    scripts = (files("migrations") / "versions").iterdir()
    texts = (script.read_text() for script in scripts if script.name.endswith(".py"))
    found = (_REVISION.search(text) for text in texts)
    return max(one[1] for one in found if one is not None)


def is_current(database: Database) -> bool:
    return current(database) == newest()
