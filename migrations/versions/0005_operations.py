"""Indexes for what is counted at every scrape of the metrics."""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"

_OPEN = sa.text(
    "state IN ('received', 'awaiting_approval', 'scheduled', 'running', 'on_hold', "
    "'needs_decision', 'failed')"
)


def upgrade() -> None:
    op.create_index(
        "ix_erasure_requests_open",
        "erasure_requests",
        ["state", "received_at", "due_at", "extended_due_at"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_index("ix_runs_device_time", "runs", ["device", "started_at", "finished_at"])


def downgrade() -> None:
    op.drop_index("ix_runs_device_time", "runs")
    op.drop_index("ix_erasure_requests_open", "erasure_requests")
