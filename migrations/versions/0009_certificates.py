"""Certificates are issued with a proof, and who read them is noted."""

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    op.add_column("certificates", sa.Column("proof", sa.Text()))
    op.create_table(
        "certificate_reads",
        sa.Column("certificate_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(
            ["certificate_id"], ["certificates.id"], name="fk_certificate_reads_certificate_id"
        ),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_certificate_reads_key_id"),
        sa.PrimaryKeyConstraint("certificate_id", "key_id", name="pk_certificate_reads"),
    )


def downgrade() -> None:
    op.drop_table("certificate_reads")
    op.drop_column("certificates", "proof")
