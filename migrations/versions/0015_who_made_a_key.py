"""Which key made an API key over HTTP: with four eyes the two are one person's."""

from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    # In one statement, which SQLite can do: the table is not made anew, since others refer to it.
    reference = "CONSTRAINT fk_api_keys_made_by_id REFERENCES api_keys (id)"
    kind = "UUID" if op.get_context().dialect.name == "postgresql" else "CHAR(32)"
    op.execute(f"ALTER TABLE api_keys ADD COLUMN made_by_id {kind} {reference}")


def downgrade() -> None:
    with op.batch_alter_table("api_keys") as keys:
        keys.drop_constraint("fk_api_keys_made_by_id", type_="foreignkey")
        keys.drop_column("made_by_id")
