"""What a person decides about a request: approvals, holds, and when the legal clock stood still."""

import sqlalchemy as sa
from alembic import op

from migrations.types import Time, one_of

revision: str = "0010"
down_revision: str | None = "0009"

APPROVALS = ("none", "one", "four_eyes")
HOLDS = ("identity_question", "restriction", "legal_hold", "internal_review")
_OPEN = sa.text(
    "state IN ('received', 'awaiting_approval', 'scheduled', 'running', 'on_hold', "
    "'needs_decision', 'failed')"
)
_COUNTED = ["state", "received_at", "due_at", "extended_due_at"]


def upgrade() -> None:
    # With their checks in one statement, which SQLite can do: it adds none to a table that exists.
    op.execute(
        "ALTER TABLE erasure_requests ADD COLUMN approval VARCHAR(40) DEFAULT 'none' NOT NULL "
        f"CONSTRAINT ck_erasure_requests_approval CHECK (approval IN ({_listed(APPROVALS)}))"
    )
    op.add_column("erasure_requests", sa.Column("approved_at", Time))
    op.execute(
        "ALTER TABLE erasure_requests ADD COLUMN hold_reason VARCHAR(40) "
        f"CONSTRAINT ck_erasure_requests_holdreason CHECK (hold_reason IN ({_listed(HOLDS)}))"
    )
    op.add_column("erasure_requests", sa.Column("held_until", Time))
    op.add_column("erasure_requests", sa.Column("paused_since", Time))
    _index_of_open([*_COUNTED, "paused_since"])
    op.create_table(
        "request_decisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column(
            "action",
            one_of("decisionaction", "approve", "refuse", "hold", "resume", "extend"),
            nullable=False,
        ),
        sa.Column("reason", sa.String(length=40)),
        sa.Column("until", Time),
        sa.Column("evidence_sha256", sa.String(length=64)),
        sa.Column("note", sa.String(length=1000)),
        sa.Column("note_salt", sa.LargeBinary(length=32)),
        sa.Column("note_until", Time),
        sa.Column("decided_by", sa.Uuid(), nullable=False),
        sa.Column("decided_at", Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["erasure_requests.id"], name="fk_request_decisions_request_id"
        ),
        sa.ForeignKeyConstraint(
            ["decided_by"], ["api_keys.id"], name="fk_request_decisions_decided_by"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_request_decisions"),
    )
    op.create_index("ix_request_decisions_request_id", "request_decisions", ["request_id"])
    where = sa.text("note_until IS NOT NULL")
    op.create_index(
        "ix_request_decisions_note_until",
        "request_decisions",
        ["note_until"],
        sqlite_where=where,
        postgresql_where=where,
    )


def downgrade() -> None:
    op.drop_table("request_decisions")
    _index_of_open(_COUNTED)
    for column in ("paused_since", "held_until", "hold_reason", "approved_at", "approval"):
        op.drop_column("erasure_requests", column)


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _index_of_open(columns: list[str]) -> None:
    op.drop_index("ix_erasure_requests_open", "erasure_requests")
    op.create_index(
        "ix_erasure_requests_open",
        "erasure_requests",
        columns,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
