"""What can be drawn of a run: histograms and curves, apart from its figures."""

import sqlalchemy as sa
from alembic import op

from migrations.types import Json

revision: str = "0020"
down_revision: str | None = "0019"


def upgrade() -> None:
    op.add_column("runs", sa.Column("plots", Json))


def downgrade() -> None:
    op.drop_column("runs", "plots")
