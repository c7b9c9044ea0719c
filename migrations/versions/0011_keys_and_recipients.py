"""Keys succeed each other, and who pulled which version is recorded.

Of versions that are there already nobody knows who pulled them before.
"""

import sqlalchemy as sa
from alembic import op

from migrations.types import Time

revision: str = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    _add_successors()
    op.add_column(
        "model_versions",
        sa.Column("pulls_recorded", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.create_table(
        "version_pulls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("first_at", Time, nullable=False),
        sa.Column("last_at", Time, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_versions.id"], name="fk_version_pulls_version_id"
        ),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_version_pulls_key_id"),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_version_pulls_controller_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_version_pulls"),
        sa.UniqueConstraint("version_id", "key_id", name="uq_version_pulls_version_id_key_id"),
    )
    op.create_index("ix_version_pulls_key_id", "version_pulls", ["key_id"])
    op.create_table(
        "knowing_versions",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["erasure_requests.id"], name="fk_knowing_versions_request_id"
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_versions.id"], name="fk_knowing_versions_version_id"
        ),
        sa.PrimaryKeyConstraint("request_id", "version_id", name="pk_knowing_versions"),
    )


def downgrade() -> None:
    op.drop_table("knowing_versions")
    op.drop_table("version_pulls")
    op.drop_column("model_versions", "pulls_recorded")
    with op.batch_alter_table("api_keys") as keys:
        keys.drop_index("ix_api_keys_holder_id")
        keys.drop_constraint("fk_api_keys_holder_id", type_="foreignkey")
        keys.drop_constraint("fk_api_keys_succeeds_id", type_="foreignkey")
        keys.drop_column("holder_id")
        keys.drop_column("succeeds_id")


def _add_successors() -> None:
    """A key that is there already is the first of its holder."""
    op.add_column("api_keys", sa.Column("holder_id", sa.Uuid()))
    op.add_column("api_keys", sa.Column("succeeds_id", sa.Uuid()))
    op.execute("UPDATE api_keys SET holder_id = id")
    with op.batch_alter_table("api_keys") as keys:
        keys.alter_column("holder_id", existing_type=sa.Uuid(), nullable=False)
        keys.create_foreign_key("fk_api_keys_holder_id", "api_keys", ["holder_id"], ["id"])
        keys.create_foreign_key("fk_api_keys_succeeds_id", "api_keys", ["succeeds_id"], ["id"])
        keys.create_index("ix_api_keys_holder_id", ["holder_id"])
