"""The database itself refuses to change or remove a sequenced entry or a tree node.

SQLite: `INSERT OR REPLACE` removes the old row without asking a DELETE trigger, so replacing is
refused too. PostgreSQL: TRUNCATE asks no row trigger, so it has one of its own.
"""

from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"

KEYS = {"audit_entries": ('"index"',), "audit_nodes": ('"level"', '"index"')}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _refuse_on_sqlite()
    else:
        _refuse_on_postgresql()


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table in KEYS:
        for event in ("update", "delete", "replace" if sqlite else "truncate"):
            where = "" if sqlite else f" ON {table}"
            op.execute(f"DROP TRIGGER {table}_no_{event}{where}")
    if not sqlite:
        op.execute("DROP FUNCTION lotus_append_only()")


def _refuse_on_sqlite() -> None:
    for table, key in KEYS.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        same = " AND ".join(f"{column} = NEW.{column}" for column in key)
        op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
        op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) {refuse}"
        )


def _refuse_on_postgresql() -> None:
    op.execute(
        """
        CREATE FUNCTION lotus_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
                USING ERRCODE = 'integrity_constraint_violation';
        END
        $$
        """
    )
    for table in KEYS:
        for event, level in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
                f"FOR EACH {level} EXECUTE FUNCTION lotus_append_only()"
            )
