"""Lists by due date, by change and by model are read along an index, however many requests there
are; and idempotency keys are found when their day is over."""

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"

DUE = sa.text("coalesce(extended_due_at, due_at)")


def upgrade() -> None:
    op.drop_index("ix_erasure_requests_due", "erasure_requests")
    op.create_index(
        "ix_erasure_requests_due_page", "erasure_requests", ["controller_id", "state", DUE, "id"]
    )
    op.create_index(
        "ix_erasure_requests_updated_page",
        "erasure_requests",
        ["controller_id", "updated_at", "id"],
    )
    op.create_index("ix_erasure_items_page", "erasure_items", ["model_id", "request_id"])
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_idempotency_keys_created_at", "idempotency_keys")
    op.drop_index("ix_erasure_items_page", "erasure_items")
    op.drop_index("ix_erasure_requests_updated_page", "erasure_requests")
    op.drop_index("ix_erasure_requests_due_page", "erasure_requests")
    op.create_index(
        "ix_erasure_requests_due", "erasure_requests", ["controller_id", "state", "due_at"]
    )
