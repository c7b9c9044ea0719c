"""Which key made an API key over HTTP: with four eyes the two are one person's."""

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"

REFERENCE = "fk_api_keys_made_by_id"


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("made_by_id", sa.Uuid()))
    with op.batch_alter_table("api_keys") as keys:
        keys.create_foreign_key(REFERENCE, "api_keys", ["made_by_id"], ["id"])


def downgrade() -> None:
    with op.batch_alter_table("api_keys") as keys:
        keys.drop_constraint(REFERENCE, type_="foreignkey")
        keys.drop_column("made_by_id")
