"""Sending a message again that was delivered, given up or stopped; and forgetting old ones."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.http.problems import Conflict, NotFound
from app.webhooks.retries import TRIED_FOR
from app.webhooks.service import cut_ended_urls
from app.webhooks.tables import (
    OPEN_DELIVERY,
    DeliveryState,
    RequestCallback,
    WebhookDelivery,
    WebhookEndpoint,
)

# Old records go in parts, so that nobody waits for a large one.
PART = 1_000


class UnknownDelivery(NotFound):
    code = "unknown-delivery"
    title = "No such delivery"


class StillWaiting(Conflict):
    code = "delivery-waits"
    title = "The message has not ended: it is sent by itself"


class NewerMessage(Conflict):
    code = "newer-message"
    title = "A newer message about the same request was delivered or waits"


class ReceiverGone(Conflict):
    code = "receiver-gone"
    title = "The receiver is disabled, removed or no longer known"


def find(session: Session, controller: UUID, message: UUID) -> WebhookDelivery:
    """An unknown id and another controller's are answered alike."""
    row = session.scalar(
        select(WebhookDelivery).where(
            WebhookDelivery.message_id == message, WebhookDelivery.controller_id == controller
        )
    )
    if row is None:
        raise UnknownDelivery("There is no such delivery, or it is not yours.")
    return row


def replay(session: Session, row: WebhookDelivery, *, now: datetime) -> None:
    """The same message once more: same id, same bytes, another 72 hours.

    Only the newest of a request and receiver: an older state never follows a newer one.
    """
    state = DeliveryState.WAITING
    for each in _stream_of(session, row):
        if each.id == row.id and each.state in OPEN_DELIVERY:
            raise StillWaiting("Look at its next attempt; disable the webhook to stop it.")
        if each.id > row.id and each.state in (*OPEN_DELIVERY, DeliveryState.DELIVERED):
            raise NewerMessage("Each message states the whole state: replay the newest one.")
        if each.id < row.id and each.state in OPEN_DELIVERY:
            state = DeliveryState.QUEUED
    if not _has_receiver(session, row):
        raise ReceiverGone("Enable or register it, and look at the request itself for its state.")
    row.state, row.next_attempt_at, row.give_up_at = state, now, now + TRIED_FOR
    row.failures, row.ended_at = 0, None
    session.flush()


def _stream_of(session: Session, row: WebhookDelivery) -> list[WebhookDelivery]:
    """Held, so that of two replays in one stream the second sees what the first did."""
    which = WebhookDelivery.id == row.id
    if row.stream is not None:
        which = WebhookDelivery.stream == row.stream
    return list(
        session.scalars(
            select(WebhookDelivery)
            .where(which)
            .order_by(WebhookDelivery.id)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
    )


def _has_receiver(session: Session, row: WebhookDelivery) -> bool:
    if row.callback_id is not None and not session.get_one(RequestCallback, row.callback_id).url:
        return False
    if row.endpoint_id is None:
        return True
    endpoint = session.get_one(WebhookEndpoint, row.endpoint_id)
    return endpoint.removed_at is None and endpoint.disabled_at is None


def forget(session: Session, *, before: datetime) -> int:
    """Removes at most one part of the records that ended before then; returns how many. With the
    last of them goes a receiver that is no longer one."""
    old = session.scalars(
        select(WebhookDelivery.id)
        .where(WebhookDelivery.state.not_in(OPEN_DELIVERY), WebhookDelivery.ended_at < before)
        .order_by(WebhookDelivery.id)
        .limit(PART)
    ).all()
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.id.in_(old)))
    cut_ended_urls(session, RequestCallback.ended_at.is_not(None))
    named = select(WebhookDelivery.callback_id).where(
        WebhookDelivery.callback_id == RequestCallback.id
    )
    session.execute(
        delete(RequestCallback)
        .where(RequestCallback.ended_at < before, ~named.exists())
        .execution_options(synchronize_session=False)
    )
    told = select(WebhookDelivery.id).where(WebhookDelivery.endpoint_id == WebhookEndpoint.id)
    used = select(RequestCallback.id).where(RequestCallback.endpoint_id == WebhookEndpoint.id)
    session.execute(
        delete(WebhookEndpoint)
        .where(WebhookEndpoint.removed_at < before, ~told.exists(), ~used.exists())
        .execution_options(synchronize_session=False)
    )
    return len(old)
