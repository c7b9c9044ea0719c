"""What the service may do in PostgreSQL, where another role owns the tables.

Triggers refuse to change the audit log, but whoever owns a table can take its triggers away. So one
role migrates and owns, and another one works: it cannot change or remove what was logged, nor
disable a trigger.
"""

import re

from sqlalchemy import text
from sqlalchemy.engine import Connection

from app.db import Database
from app.schema import metadata

# Everything else is the service's to read and write.
RIGHTS = {
    "alembic_version": "SELECT",
    "audit_entries": "SELECT, INSERT",
    "audit_nodes": "SELECT, INSERT",
    "audit_checkpoints": "SELECT, INSERT",
    "audit_pending": "SELECT, INSERT, DELETE",
    "signing_keys": "SELECT, INSERT, UPDATE (retired_at)",
}
_USUAL = "SELECT, INSERT, UPDATE, DELETE"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class BadRole(RuntimeError):
    """The role cannot be given its rights; the message says why."""


def grant(database: Database, role: str, *, password: str | None) -> None:
    """Makes the role if it is missing, and gives it exactly the rights that this version's tables
    need. Run it as the tables' owner, after every migration."""
    if database.is_sqlite:
        raise BadRole("a service role needs PostgreSQL: SQLite has none")
    if not _NAME.fullmatch(role):
        raise BadRole("a role is named with lower-case letters, digits and underscores")
    with database.write() as session:
        connection = session.connection()
        if role == connection.scalar(text("SELECT current_user")):
            raise BadRole("the service role must be another one than the owner of the tables")
        _ensure(connection, role, password)
        for table in [*metadata.tables, "alembic_version"]:
            rights = RIGHTS.get(table, _USUAL)
            connection.execute(text(f'REVOKE ALL ON "{table}" FROM "{role}"'))
            connection.execute(text(f'GRANT {rights} ON "{table}" TO "{role}"'))
        connection.execute(text(f'GRANT USAGE ON SCHEMA public TO "{role}"'))
        connection.execute(text(f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "{role}"'))
        # Which cluster this is: it tells a dump that was read back.
        if connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")):
            connection.execute(text(f'GRANT EXECUTE ON FUNCTION pg_control_system() TO "{role}"'))


def _ensure(connection: Connection, role: str, password: str | None) -> None:
    known = text(
        "SELECT rolsuper OR rolcreaterole OR pg_has_role(rolname, current_user, 'MEMBER') "
        "FROM pg_roles WHERE rolname = :role"
    )
    mighty = connection.scalar(known, {"role": role})
    if mighty:
        raise BadRole("the role is a superuser, makes roles, or is a member of the owner")
    if mighty is None and password is None:
        raise BadRole(f"there is no role {role}: set LOTUS_SERVICE_PASSWORD to have it made")
    if password is not None:
        # DDL takes no bound values; the server quotes this one.
        verb = "CREATE" if mighty is None else "ALTER"
        statement = text("SELECT format(:form, CAST(:role AS text), CAST(:password AS text))")
        form = f"{verb} ROLE %I LOGIN PASSWORD %L"
        made = connection.scalar(statement, {"form": form, "role": role, "password": password})
        connection.exec_driver_sql(str(made).replace("%", "%%"))
