"""Whether the service waits for a person after a restore."""

import sqlalchemy as sa
from alembic import op

from migrations.types import Time, one_of

revision: str = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    op.create_table(
        "service_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("marked_at", Time),
        sa.Column("paused_at", Time),
        sa.Column(
            "pause_reason",
            one_of(
                "pausereason",
                "database_older",
                "other_history",
                "other_database",
                "mark_missing",
                "operator",
            ),
        ),
        sa.CheckConstraint("id = 1", name="one_row"),
        sa.CheckConstraint(
            "(paused_at IS NULL) = (pause_reason IS NULL)",
            name="reason_if_paused",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_service_state"),
    )


def downgrade() -> None:
    op.drop_table("service_state")
