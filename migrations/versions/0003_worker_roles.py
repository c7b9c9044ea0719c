"""A fleet's workers have one of two roles; until now a worker did everything."""

import sqlalchemy as sa
from alembic import op

from migrations.types import one_of

revision: str = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    with op.batch_alter_table("workers") as workers:
        workers.add_column(
            sa.Column(
                "role",
                one_of("workerrole", "local", "gpu", "ops"),
                nullable=False,
                server_default="local",
            )
        )
    with op.batch_alter_table("workers") as workers:
        workers.alter_column("role", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("workers") as workers:
        workers.drop_constraint(op.f("ck_workers_workerrole"), type_="check")
        workers.drop_column("role")
