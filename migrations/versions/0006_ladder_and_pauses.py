"""The ladder's step of each run, and the pause of a model whose runs keep failing."""

import sqlalchemy as sa
from alembic import op

from migrations.types import Time

revision: str = "0006"
down_revision: str | None = "0005"

STEPS = ("policy", "other_settings", "other_method", "retrain", "decision")


def upgrade() -> None:
    # In one statement, which SQLite can do: it adds no constraint to a table that exists.
    steps = ", ".join(f"'{step}'" for step in STEPS)
    op.execute(
        "ALTER TABLE runs ADD COLUMN step VARCHAR(40) DEFAULT 'policy' NOT NULL "
        f"CONSTRAINT ck_runs_runstep CHECK (step IN ({steps}))"
    )
    op.add_column(
        "runs", sa.Column("memory_faults", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column(
        "models",
        sa.Column("consecutive_failures", sa.Integer(), server_default="0", nullable=False),
    )
    op.add_column("models", sa.Column("paused_until", Time))
    op.add_column("models", sa.Column("paused_reason", sa.String(length=40)))


def downgrade() -> None:
    op.drop_column("models", "paused_reason")
    op.drop_column("models", "paused_until")
    op.drop_column("models", "consecutive_failures")
    op.drop_column("runs", "memory_faults")
    op.drop_column("runs", "step")
