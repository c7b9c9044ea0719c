"""Whose holidays count for a deadline, and when somebody is to be reminded of it."""

import sqlalchemy as sa
from alembic import op

from migrations.types import Time

revision: str = "0016"
down_revision: str | None = "0015"

NAME = "ix_erasure_requests_reminders"
_OPEN = (
    "state IN ('received', 'awaiting_approval', 'scheduled', 'running', 'on_hold', "
    "'needs_decision', 'failed')"
)


def upgrade() -> None:
    for table in ("controllers", "erasure_requests"):
        op.add_column(table, sa.Column("jurisdiction", sa.String(length=6)))
    op.add_column("erasure_requests", sa.Column("remind_at", Time))
    # What is open already is looked at once, which sets the time of the next look.
    op.execute(f"UPDATE erasure_requests SET remind_at = received_at WHERE {_OPEN}")
    where = sa.text("remind_at IS NOT NULL")
    op.create_index(
        NAME, "erasure_requests", ["remind_at"], sqlite_where=where, postgresql_where=where
    )


def downgrade() -> None:
    op.drop_index(NAME, "erasure_requests")
    op.drop_column("erasure_requests", "remind_at")
    for table in ("erasure_requests", "controllers"):
        op.drop_column(table, "jurisdiction")
