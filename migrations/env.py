"""Runs the scripts on the connection that `app.migrate` hands in. There is no offline mode: some
steps depend on the database."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext

from app.db import UtcDateTime
from app.schema import metadata


def render_item(kind: str, item: Any, drafting: AutogenContext) -> str | Literal[False]:
    """Types by the names in `migrations.types`: old scripts outlive changes of the service's."""
    if kind != "type":
        return False
    rendered = ""
    if isinstance(item, UtcDateTime):
        rendered = "Time"
    elif isinstance(item, sa.JSON):
        rendered = "Json"
    elif isinstance(item, sa.BigInteger) and "sqlite" in item._variant_mapping:
        rendered = "BigId"
    elif isinstance(item, sa.Enum):
        values = ", ".join(repr(value) for value in item.enums)
        rendered = f"one_of({item.name!r}, {values})"
    if rendered:
        drafting.imports.add(f"from migrations.types import {rendered.partition('(')[0]}")
    return rendered or False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_item=render_item,
    # SQLite cannot alter a column: a batch copies the table.
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
