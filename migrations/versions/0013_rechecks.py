"""Completed cases are compared again on every new version of their models.

Every model is looked at once after this script: what was completed before it was never re-checked.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from migrations.types import Json, Time, one_of

revision: str = "0013"
down_revision: str | None = "0012"

REASONS = ("rolled_back", "trained_elsewhere", "relapsed", "relapse_shared")
ERRORS = (
    *("crashed", "out_of_memory", "storage", "missing_data"),
    *("architecture", "numerical", "settings", "internal"),
)
ADDED = (
    ("erasure_items", "reopened_at", Time),
    ("models", "recheck_at", Time),
    ("unlearned_samples", "relapsed_at", Time),
)


def upgrade() -> None:
    for table, column, kind in ADDED:
        op.add_column(table, sa.Column(column, kind))
    op.add_column(
        "erasure_items", sa.Column("relapses", sa.Integer(), server_default="0", nullable=False)
    )
    # In one statement, which SQLite can do: it adds no constraint to a table that exists.
    reasons = ", ".join(f"'{reason}'" for reason in REASONS)
    op.execute(
        "ALTER TABLE erasure_items ADD COLUMN reopened_for VARCHAR(40) "
        f"CONSTRAINT ck_erasure_items_reopening CHECK (reopened_for IN ({reasons}))"
    )
    _rechecks()
    _cases()
    _look_at_every_model()


def downgrade() -> None:
    op.drop_table("recheck_cases")
    op.drop_table("rechecks")
    op.drop_column("erasure_items", "reopened_for")
    op.drop_column("erasure_items", "relapses")
    for table, column, _ in reversed(ADDED):
        op.drop_column(table, column)


def _rechecks() -> None:
    op.create_table(
        "rechecks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("trigger", one_of("trigger", "new_version", "schedule"), nullable=False),
        sa.Column(
            "state",
            one_of("recheckstate", "queued", "running", "done", "superseded", "failed"),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("not_before", Time),
        sa.Column("lease_until", Time),
        sa.Column("worker_id", sa.Uuid()),
        sa.Column("case_count", sa.Integer(), nullable=False),
        sa.Column("pooled", Json),
        sa.Column("relapsed_count", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(length=100)),
        sa.Column("code_version", sa.String(length=64)),
        sa.Column("error_class", one_of("errorclass", *ERRORS)),
        sa.Column("error_detail", sa.String(length=500)),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("started_at", Time),
        sa.Column("finished_at", Time),
        sa.CheckConstraint(
            "(state = 'running') = (lease_until IS NOT NULL)", name="lease_if_running"
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_rechecks_model_id"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_versions.id"], name="fk_rechecks_version_id"
        ),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name="fk_rechecks_worker_id"),
        sa.PrimaryKeyConstraint("id", name="pk_rechecks"),
    )
    live = sa.text("state IN ('queued', 'running')")
    op.create_index(
        "uq_rechecks_one_live_per_model",
        "rechecks",
        ["model_id"],
        unique=True,
        sqlite_where=live,
        postgresql_where=live,
    )
    op.create_index("ix_rechecks_page", "rechecks", ["model_id", "id"])
    op.create_index("ix_rechecks_version_id", "rechecks", ["version_id"])


def _cases() -> None:
    op.create_table(
        "recheck_cases",
        sa.Column("recheck_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("resting_version_id", sa.Uuid(), nullable=False),
        sa.Column("samples", sa.Integer()),
        sa.Column("change", sa.Double()),
        sa.Column("standard_error", sa.Double()),
        sa.Column("p_value", sa.Double()),
        sa.Column("q", sa.Double()),
        sa.Column("relapsed", sa.Boolean(), nullable=False),
        sa.Column(
            "skipped",
            one_of("skipped", "resting_version_destroyed", "samples_destroyed", "no_unseen_rows"),
        ),
        sa.ForeignKeyConstraint(
            ["resting_version_id"],
            ["model_versions.id"],
            name="fk_recheck_cases_resting_version_id",
        ),
        sa.ForeignKeyConstraint(["item_id"], ["erasure_items.id"], name="fk_recheck_cases_item_id"),
        sa.ForeignKeyConstraint(
            ["recheck_id"], ["rechecks.id"], name="fk_recheck_cases_recheck_id"
        ),
        sa.PrimaryKeyConstraint("recheck_id", "item_id", name="pk_recheck_cases"),
    )
    op.create_index("ix_recheck_cases_item_id", "recheck_cases", ["item_id"])


def _look_at_every_model() -> None:
    models = sa.table("models", sa.column("recheck_at", Time))
    op.execute(sa.update(models).values(recheck_at=datetime.now(UTC)))
