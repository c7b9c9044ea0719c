"""Everything that a database itself knows of its tables, types as it writes them."""

from collections import defaultdict
from typing import Any

from sqlalchemy import inspect, text

from app.db import Database

TRIGGERS = {
    "sqlite": "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) "
    "FROM pg_trigger WHERE NOT tgisinternal",
}


def shape(database: Database) -> dict[str, Any]:
    inspector = inspect(database.engine)
    triggers = _triggers(database)
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(table)
            },
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": _by_name(inspector.get_foreign_keys(table)),
            "unique": _by_name(inspector.get_unique_constraints(table)),
            "checks": _by_name(inspector.get_check_constraints(table)),
            "indexes": {
                index["name"]: (
                    index["column_names"],
                    index["unique"],
                    {k: str(v) for k, v in index.get("dialect_options", {}).items()},
                )
                for index in inspector.get_indexes(table)
            },
            "triggers": triggers[table],
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def _by_name(constraints: list[Any]) -> dict[str, Any]:
    return {str(constraint["name"]): constraint for constraint in constraints}


def _triggers(database: Database) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    with database.read() as session:
        for table, name, definition in session.execute(
            text(TRIGGERS[database.url.get_backend_name()])
        ):
            found[table][name] = definition
    return found
