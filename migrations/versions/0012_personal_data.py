"""What a dataset does with rows of suppressed persons, how its pseudonym key is known again, and
how suppression entries are listed and found when their time is over."""

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"

PAGE, UNTIL = "ix_suppression_entries_page", "ix_suppression_entries_until"


def upgrade() -> None:
    # In one statement, which SQLite can do: it adds no constraint to a table that exists.
    op.execute(
        "ALTER TABLE datasets ADD COLUMN on_suppressed VARCHAR(40) DEFAULT 'flag' NOT NULL "
        "CONSTRAINT ck_datasets_onsuppressed CHECK (on_suppressed IN ('flag', 'refuse'))"
    )
    op.add_column("datasets", sa.Column("pseudonym_key_check", sa.LargeBinary(length=32)))
    op.create_index(PAGE, "suppression_entries", ["controller_id", "request_id"])
    op.create_index(UNTIL, "suppression_entries", ["until"])


def downgrade() -> None:
    op.drop_index(UNTIL, "suppression_entries")
    op.drop_index(PAGE, "suppression_entries")
    op.drop_column("datasets", "pseudonym_key_check")
    op.drop_column("datasets", "on_suppressed")
