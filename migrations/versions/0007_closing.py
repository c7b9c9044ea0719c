"""Versions can be taken back, and cases close: what they destroy, and when they are looked at.

Cases that are complete already close a week after their completion, as new ones do by default.
"""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

from migrations.types import BigId, Json, Time, one_of

revision: str = "0007"
down_revision: str | None = "0006"

ADDED = (
    ("artifacts", "unneeded_since", Time),
    ("erasure_requests", "next_closing_at", Time),
    ("model_versions", "taken_back_at", Time),
    ("samples", "destroyed_at", Time),
    ("unlearned_samples", "leaf", sa.LargeBinary(length=32)),
)
WINDOW = timedelta(days=7)


def upgrade() -> None:
    op.create_table(
        "destructions",
        sa.Column("id", BigId, nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column(
            "what", one_of("destroyed", "links", "data_rows", "shard", "weights"), nullable=False
        ),
        sa.Column("sha256", sa.String(length=64)),
        sa.Column("shard_id", BigId),
        sa.Column("rewritten_as", sa.String(length=64)),
        sa.Column("count", sa.Integer()),
        sa.Column("decided_at", Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["erasure_requests.id"], name="fk_destructions_request_id"
        ),
        sa.ForeignKeyConstraint(
            ["shard_id"], ["dataset_shards.id"], name="fk_destructions_shard_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_destructions"),
    )
    op.create_index("ix_destructions_request_id", "destructions", ["request_id"])
    op.create_index("ix_destructions_shard_id", "destructions", ["shard_id"])
    op.create_table(
        "rollbacks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("from_version_id", sa.Uuid(), nullable=False),
        sa.Column("to_version_id", sa.Uuid(), nullable=False),
        sa.Column("taken_back", Json, nullable=False),
        sa.Column("reopened", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["from_version_id"], ["model_versions.id"], name="fk_rollbacks_from_version_id"
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_rollbacks_model_id"),
        sa.ForeignKeyConstraint(
            ["to_version_id"], ["model_versions.id"], name="fk_rollbacks_to_version_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_rollbacks"),
    )
    op.create_index("ix_rollbacks_model_id", "rollbacks", ["model_id"])
    for table, column, kind in ADDED:
        op.add_column(table, sa.Column(column, kind))
    where = sa.text("next_closing_at IS NOT NULL")
    op.create_index(
        "ix_erasure_requests_closing",
        "erasure_requests",
        ["next_closing_at"],
        sqlite_where=where,
        postgresql_where=where,
    )
    _give_completed_cases_their_window()


def downgrade() -> None:
    op.drop_index("ix_erasure_requests_closing", "erasure_requests")
    for table, column, _ in reversed(ADDED):
        op.drop_column(table, column)
    op.drop_table("rollbacks")
    op.drop_table("destructions")


def _give_completed_cases_their_window() -> None:
    requests = sa.table(
        "erasure_requests",
        sa.column("id", sa.Uuid()),
        sa.column("completed_at", Time),
        sa.column("closed_at", Time),
        sa.column("next_closing_at", Time),
    )
    connection = op.get_bind()
    completed = connection.execute(
        sa.select(requests.c.id, requests.c.completed_at).where(
            requests.c.completed_at.is_not(None), requests.c.closed_at.is_(None)
        )
    ).all()
    for identity, at in completed:
        connection.execute(
            sa.update(requests).where(requests.c.id == identity).values(next_closing_at=at + WINDOW)
        )
