"""Requests that came by OpenDSR, and the date by which a caller wants a request done."""

import sqlalchemy as sa
from alembic import op

from migrations.types import Time

revision: str = "0018"
down_revision: str | None = "0017"


def upgrade() -> None:
    op.add_column("erasure_requests", sa.Column("wanted_by", Time))
    op.create_table(
        "opendsr_requests",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("subject_request_id", sa.Uuid(), nullable=False),
        sa.Column("api_version", sa.String(length=8), nullable=False),
        sa.Column("received_time", Time, nullable=False),
        sa.Column("expected_completion_time", Time, nullable=False),
        sa.Column("domain", sa.String(length=260), nullable=False),
        sa.Column("public_url", sa.Text()),
        sa.ForeignKeyConstraint(
            ["request_id"], ["erasure_requests.id"], name="fk_opendsr_requests_request_id"
        ),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_opendsr_requests_controller_id"
        ),
        sa.PrimaryKeyConstraint("request_id", name="pk_opendsr_requests"),
        sa.UniqueConstraint(
            "controller_id",
            "subject_request_id",
            name="uq_opendsr_requests_controller_id_subject_request_id",
        ),
    )
    op.create_index(
        "ix_opendsr_requests_subject_request_id", "opendsr_requests", ["subject_request_id"]
    )


def downgrade() -> None:
    op.drop_table("opendsr_requests")
    op.drop_column("erasure_requests", "wanted_by")
