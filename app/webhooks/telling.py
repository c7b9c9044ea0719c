"""Who is told of what happened: one message for each receiver that wants it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CompoundSelect, Uuid, bindparam, literal, null, select, union_all
from sqlalchemy.orm import Session

from app.webhooks.events import EventType, News
from app.webhooks.service import IS_HEARD, OWN_RECEIVERS, Receiver, queue
from app.webhooks.tables import RequestCallback, WebhookEndpoint

_KNOWN = "listeners"

# Made once, and one statement: every change of a request asks it, and mostly nobody listens. Its
# parameters say their type: a foreign key has none yet where this is loaded before its table.
_LISTENERS: CompoundSelect[Any] = union_all(
    select(WebhookEndpoint.id, null().label("callback_id")).where(
        WebhookEndpoint.controller_id == bindparam("controller", type_=Uuid()), IS_HEARD
    ),
    select(literal(None, WebhookEndpoint.id.type), RequestCallback.id).where(
        RequestCallback.request_id == bindparam("request", type_=Uuid()),
        RequestCallback.ended_at.is_(None),
    ),
)


@contextmanager
def of_new_requests(session: Session, controller: UUID) -> Iterator[None]:
    """Inside, everything that is told concerns requests of this controller which this transaction
    has made. Who listens is asked once for all of them: they have no receivers but the controller's
    and those that were named here."""
    found = session.execute(_LISTENERS, {"controller": controller, "request": None})
    session.info[_KNOWN] = [(endpoint, callback) for endpoint, callback in found]
    try:
        yield
    finally:
        del session.info[_KNOWN]


def emit(
    session: Session,
    controller: UUID,
    event: EventType,
    data: Mapping[str, Any],
    *,
    request_id: UUID | None = None,
    now: datetime,
) -> None:
    """Queues a message for each receiver that wants it. Whoever changes a request holds its row, so
    that its messages are queued in the order of its changes."""
    listeners = _listeners(session, controller, request_id)
    if not listeners:
        return
    session.flush()  # the rows of the messages refer to the request's
    news = News(controller, event, data, request_id, now)
    endpoints = [endpoint for endpoint, callback in listeners if callback is None]
    for endpoint in session.scalars(
        select(WebhookEndpoint)
        .where(WebhookEndpoint.id.in_(endpoints))
        .order_by(WebhookEndpoint.id)
    ):
        if not endpoint.events or event in endpoint.events:
            queue(session, news, Receiver.of(endpoint))
    for _, callback in listeners:
        if callback is not None:
            _queue_for_callback(session, news, session.get_one(RequestCallback, callback))


def _listeners(
    session: Session, controller: UUID, request: UUID | None
) -> Sequence[tuple[UUID | None, int | None]]:
    """An endpoint each, or a receiver of the request's own."""
    known: list[tuple[UUID | None, int | None]] | None = session.info.get(_KNOWN)
    if known is not None and request not in session.info.get(OWN_RECEIVERS, ()):
        return known
    found = session.execute(_LISTENERS, {"controller": controller, "request": request})
    return [(endpoint, callback) for endpoint, callback in found]


def _queue_for_callback(session: Session, news: News, callback: RequestCallback) -> None:
    endpoint = (
        session.get_one(WebhookEndpoint, callback.endpoint_id) if callback.endpoint_id else None
    )
    if endpoint is not None:
        if endpoint.disabled_at is not None:
            return
        if callback.url is None:  # the endpoint itself: once is enough
            if endpoint.events and news.event not in endpoint.events:
                queue(session, news, Receiver.of(endpoint))
            return
    if callback.url is not None:
        key = f"callback {callback.id}"
        receiver = Receiver(callback.url, callback.dialect, callback.endpoint_id, callback.id, key)
        queue(session, news, receiver)
