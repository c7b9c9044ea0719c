"""Callbacks: who wants to be told, and one row for each message to each of them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigId, enum_text
from app.ids import new_id

_is_kept = text("removed_at IS NULL")
_is_first = text("state = 'waiting'")
_is_held = text("lease_until IS NOT NULL")


class DeliveryState(StrEnum):
    # An earlier message about the same request to the same receiver has not ended yet.
    QUEUED = "queued"
    WAITING = "waiting"
    DELIVERED = "delivered"
    # Tried for as long as a message is tried.
    DEAD = "dead"
    # Nobody wants it any more: the receiver is disabled, removed, or said that it is gone.
    STOPPED = "stopped"


OPEN_DELIVERY = (DeliveryState.QUEUED, DeliveryState.WAITING)


class DeliveryError(StrEnum):
    """Why the last attempt failed. Never a word of what the receiver answered."""

    NAME_UNKNOWN = "name_unknown"
    ADDRESS_REFUSED = "address_refused"
    NOT_CONNECTED = "not_connected"
    TLS = "tls"
    TIMED_OUT = "timed_out"
    BROKEN_ANSWER = "broken_answer"
    REDIRECT = "redirect"
    STATUS = "status"
    GONE = "gone"
    NO_LONGER_WANTED = "no_longer_wanted"
    SECRET_UNREADABLE = "secret_unreadable"
    INTERNAL = "internal"


class DisabledBy(StrEnum):
    CALLER = "caller"
    RECEIVER = "receiver"  # answered 410


class WebhookEndpoint(Base):
    """A receiver of one controller. Secrets are sealed; once removed, they and the URL are gone."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        Index(
            "uq_webhook_endpoints_url",
            "controller_id",
            "url",
            unique=True,
            sqlite_where=_is_kept,
            postgresql_where=_is_kept,
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    controller_id: Mapped[UUID] = mapped_column(ForeignKey("controllers.id"), index=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    # Still signed with as well until then, after the secret was changed.
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    previous_secret_until: Mapped[datetime | None]
    # Empty for every event, those of later versions too.
    events: Mapped[list[Any]]
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    disabled_by: Mapped[DisabledBy | None] = mapped_column(enum_text(DisabledBy))
    removed_at: Mapped[datetime | None]


class RequestCallback(Base):
    """A receiver that one request named for itself, in some dialect.

    `endpoint_id` is the registered endpoint whose secret signs, if the dialect has one; without a
    `url` the receiver is that endpoint. Once ended, the URL is cut as soon as nothing waits for it.
    """

    __tablename__ = "request_callbacks"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("erasure_requests.id"), index=True)
    endpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("webhook_endpoints.id"), index=True)
    dialect: Mapped[str] = mapped_column(String(40))
    url: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class WebhookDelivery(Base):
    """One message to one receiver. `stream` is what order is kept in: one request, one receiver; at
    most one row of a stream is `waiting`, those behind it are `queued`."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_due", "state", "next_attempt_at"),
        Index("ix_webhook_deliveries_page", "controller_id", "message_id"),
        Index("ix_webhook_deliveries_stream", "stream", "id"),
        Index(
            "uq_webhook_deliveries_one_first",
            "stream",
            unique=True,
            sqlite_where=_is_first,
            postgresql_where=_is_first,
        ),
        Index(
            "ix_webhook_deliveries_held",
            "lease_until",
            sqlite_where=_is_held,
            postgresql_where=_is_held,
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    # What a receiver knows the message by; the same at every attempt.
    message_id: Mapped[UUID] = mapped_column(unique=True)
    controller_id: Mapped[UUID] = mapped_column(ForeignKey("controllers.id"))
    endpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("webhook_endpoints.id"), index=True)
    callback_id: Mapped[int | None] = mapped_column(ForeignKey("request_callbacks.id"), index=True)
    request_id: Mapped[UUID | None] = mapped_column(ForeignKey("erasure_requests.id"), index=True)
    stream: Mapped[UUID | None]
    host: Mapped[str] = mapped_column(String(300))
    event: Mapped[str] = mapped_column(String(64))
    payload: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    state: Mapped[DeliveryState] = mapped_column(enum_text(DeliveryState))
    # The fencing token: a write that names another attempt finds no row.
    attempts: Mapped[int] = mapped_column(default=0)
    # Attempts that failed since the message was queued, or replayed: how long to wait follows.
    failures: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    give_up_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[DeliveryError | None] = mapped_column(enum_text(DeliveryError))
    created_at: Mapped[datetime]
    # When it was delivered, given up or stopped.
    ended_at: Mapped[datetime | None]
