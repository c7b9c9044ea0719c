"""Keys that sign the log, what the log is called, and whether it was found rewound.

The database itself refuses to change or remove a checkpoint or a key; a key can be retired, once.
"""

import sqlalchemy as sa
from alembic import op

from migrations.types import Time, one_of

revision: str = "0008"
down_revision: str | None = "0007"

# Columns that never change, and how a row is told from another.
FIXED = {"audit_checkpoints": ("tree_size",), "signing_keys": ("key_id",)}
RETIRES = (
    "OLD.retired_at IS NULL AND NEW.retired_at IS NOT NULL AND NEW.key_id = OLD.key_id "
    "AND NEW.public = OLD.public AND NEW.created_at = OLD.created_at"
)


def upgrade() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("public", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("retired_at", Time),
        sa.PrimaryKeyConstraint("key_id", name="pk_signing_keys"),
        sa.UniqueConstraint("public", name="uq_signing_keys_public"),
    )
    op.create_table(
        "audit_log_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("origin", sa.String(length=200), nullable=False),
        sa.Column("rewound_at", Time),
        sa.Column(
            "rewound_reason",
            one_of(
                "rewindreason",
                "smaller",
                "other_history",
                "other_log",
                "memory_missing",
                "memory_unreadable",
            ),
        ),
        sa.Column("signed_size", sa.BigInteger()),
        sa.Column("signed_root", sa.LargeBinary(length=32)),
        sa.CheckConstraint("id = 1", name="one_row"),
        sa.CheckConstraint(
            "(rewound_at IS NULL) = (rewound_reason IS NULL)", name="reason_if_rewound"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log_state"),
    )
    op.create_index("ix_audit_entries_leaf_hash", "audit_entries", ["leaf_hash"])
    if op.get_bind().dialect.name == "sqlite":
        _refuse_on_sqlite()
    else:
        _refuse_on_postgresql()


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table in FIXED:
        for event in ("update", "delete", "replace" if sqlite else "truncate"):
            where = "" if sqlite else f" ON {table}"
            op.execute(f"DROP TRIGGER {table}_no_{event}{where}")
    op.drop_index("ix_audit_entries_leaf_hash", "audit_entries")
    op.drop_table("audit_log_state")
    op.drop_table("signing_keys")


def _update_unless(table: str) -> str:
    return f"WHEN (NOT ({RETIRES}))" if table == "signing_keys" else ""


def _refuse_on_sqlite() -> None:
    for table, key in FIXED.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        same = " AND ".join(f"{column} = NEW.{column}" for column in key)
        if table == "signing_keys":
            same = f"({same}) OR public = NEW.public"
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
            f"{_update_unless(table)} {refuse}"
        )
        op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) {refuse}"
        )


def _refuse_on_postgresql() -> None:
    for table in FIXED:
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
            f"FOR EACH ROW {_update_unless(table)} EXECUTE FUNCTION lotus_append_only()"
        )
        for event, level in (("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
                f"FOR EACH {level} EXECUTE FUNCTION lotus_append_only()"
            )
