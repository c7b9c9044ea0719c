"""Callbacks are sent: who wants them, in what order they go, and who is sending one right now.

No version before this one wrote an endpoint or a delivery, so both tables are made anew.
"""

import sqlalchemy as sa
from alembic import op

from migrations.types import BigId, Json, Time, one_of

revision: str = "0014"
down_revision: str | None = "0013"

ERRORS = (
    "name_unknown",
    "address_refused",
    "not_connected",
    "tls",
    "timed_out",
    "broken_answer",
    "redirect",
    "status",
    "gone",
    "no_longer_wanted",
    "secret_unreadable",
    "internal",
)


def upgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_endpoints")
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret", sa.LargeBinary()),
        sa.Column("previous_secret_until", Time),
        sa.Column("events", Json, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("disabled_at", Time),
        sa.Column("disabled_by", one_of("disabledby", "caller", "receiver")),
        sa.Column("removed_at", Time),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_webhook_endpoints_controller_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
    )
    op.create_index("ix_webhook_endpoints_controller_id", "webhook_endpoints", ["controller_id"])
    _partial(
        "uq_webhook_endpoints_url",
        "webhook_endpoints",
        ["controller_id", "url"],
        "removed_at IS NULL",
        unique=True,
    )
    op.create_table(
        "request_callbacks",
        sa.Column("id", BigId, nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid()),
        sa.Column("dialect", sa.String(length=40), nullable=False),
        sa.Column("url", sa.Text()),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("ended_at", Time),
        sa.ForeignKeyConstraint(
            ["request_id"], ["erasure_requests.id"], name="fk_request_callbacks_request_id"
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoints.id"], name="fk_request_callbacks_endpoint_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_request_callbacks"),
    )
    op.create_index("ix_request_callbacks_request_id", "request_callbacks", ["request_id"])
    op.create_index("ix_request_callbacks_endpoint_id", "request_callbacks", ["endpoint_id"])
    _make_deliveries()


def _make_deliveries() -> None:
    states = one_of("deliverystate", "queued", "waiting", "delivered", "dead", "stopped")
    keys = {
        "controller_id": "controllers.id",
        "endpoint_id": "webhook_endpoints.id",
        "callback_id": "request_callbacks.id",
        "request_id": "erasure_requests.id",
    }
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", BigId, nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid()),
        sa.Column("callback_id", BigId),
        sa.Column("request_id", sa.Uuid()),
        sa.Column("stream", sa.Uuid()),
        sa.Column("host", sa.String(length=300), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("state", states, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", Time, nullable=False),
        sa.Column("give_up_at", Time, nullable=False),
        sa.Column("lease_until", Time),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", one_of("deliveryerror", *ERRORS)),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("ended_at", Time),
        *(
            sa.ForeignKeyConstraint([column], [other], name=f"fk_webhook_deliveries_{column}")
            for column, other in keys.items()
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
        sa.UniqueConstraint("message_id", name="uq_webhook_deliveries_message_id"),
    )
    for name, columns in (
        ("due", ["state", "next_attempt_at"]),
        ("page", ["controller_id", "message_id"]),
        ("stream", ["stream", "id"]),
        ("endpoint_id", ["endpoint_id"]),
        ("callback_id", ["callback_id"]),
        ("request_id", ["request_id"]),
    ):
        op.create_index(f"ix_webhook_deliveries_{name}", "webhook_deliveries", columns)
    _partial(
        "uq_webhook_deliveries_one_first",
        "webhook_deliveries",
        ["stream"],
        "state = 'waiting'",
        unique=True,
    )
    _partial(
        "ix_webhook_deliveries_held",
        "webhook_deliveries",
        ["lease_until"],
        "lease_until IS NOT NULL",
    )


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("request_callbacks")
    op.drop_table("webhook_endpoints")
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("events", Json, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("disabled_at", Time),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_webhook_endpoints_controller_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
    )
    op.create_index("ix_webhook_endpoints_controller_id", "webhook_endpoints", ["controller_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", BigId, nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid()),
        sa.Column("request_id", sa.Uuid()),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("state", one_of("deliverystate", "waiting", "delivered", "dead"), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", Time, nullable=False),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", sa.String(length=100)),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("delivered_at", Time),
        *(
            sa.ForeignKeyConstraint([column], [other], name=f"fk_webhook_deliveries_{column}")
            for column, other in {
                "controller_id": "controllers.id",
                "endpoint_id": "webhook_endpoints.id",
                "request_id": "erasure_requests.id",
            }.items()
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    op.create_index("ix_webhook_deliveries_due", "webhook_deliveries", ["state", "next_attempt_at"])
    op.create_index("ix_webhook_deliveries_request_id", "webhook_deliveries", ["request_id"])


def _partial(
    name: str, table: str, columns: list[str], condition: str, *, unique: bool = False
) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)
