"""Receivers and what is sent to them: one row for each message, in the transaction of what
happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.orm import Session, aliased

from app.http.problems import FieldError, Problem
from app.ids import new_id
from app.webhooks.addresses import RefusedUrl, read_url
from app.webhooks.dialects import DIALECTS, STANDARD
from app.webhooks.events import News
from app.webhooks.retries import TRIED_FOR
from app.webhooks.tables import (
    OPEN_DELIVERY,
    DeliveryError,
    DeliveryState,
    RequestCallback,
    WebhookDelivery,
    WebhookEndpoint,
)

MOST_CALLBACKS = 5


class CallbackUrlRefused(Problem):
    status = 422
    code = "callback-url-refused"
    title = "A callback URL cannot be used"


@dataclass(frozen=True)
class Receiver:
    """`key` is the same for every message to this receiver, and no other's."""

    url: str
    dialect: str
    endpoint_id: UUID | None
    callback_id: int | None
    key: str

    @classmethod
    def of(cls, endpoint: WebhookEndpoint) -> "Receiver":
        return cls(endpoint.url, STANDARD, endpoint.id, None, f"endpoint {endpoint.id}")


# In `Session.info`: requests for which this transaction has named receivers.
OWN_RECEIVERS = "requests with own receivers"

IS_HEARD = WebhookEndpoint.removed_at.is_(None) & WebhookEndpoint.disabled_at.is_(None)


def queue(session: Session, news: News, receiver: Receiver) -> UUID | None:
    """One message to one receiver; its id, or None if the receiver's dialect does not tell of it.

    If an earlier one to the same receiver about the same request has not ended, this one waits
    behind it. That row is held: whoever ends it meanwhile waits, and then finds this one.
    """
    body = DIALECTS[receiver.dialect].body(session, news, receiver.url)
    if body is None:
        return None
    stream, state = None, DeliveryState.WAITING
    if news.request_id is not None:
        stream = uuid5(news.request_id, receiver.key)
        if _last_open(session, stream) is not None:
            state = DeliveryState.QUEUED
    target = read_url(receiver.url, http_loopback=True)
    identity = new_id()
    session.execute(
        insert(WebhookDelivery).values(
            message_id=identity,
            controller_id=news.controller_id,
            endpoint_id=receiver.endpoint_id,
            callback_id=receiver.callback_id,
            request_id=news.request_id,
            stream=stream,
            host=f"{target.host}:{target.port}",
            event=news.event,
            payload=body,
            state=state,
            next_attempt_at=news.at,
            give_up_at=news.at + TRIED_FOR,
            created_at=news.at,
        )
    )
    return identity


def _last_open(session: Session, stream: UUID) -> int | None:
    return session.scalar(
        select(WebhookDelivery.id)
        .where(WebhookDelivery.stream == stream, WebhookDelivery.state.in_(OPEN_DELIVERY))
        .order_by(WebhookDelivery.id.desc())
        .limit(1)
        .with_for_update(key_share=True)
    )


class Named(NamedTuple):
    """A receiver of one request: an endpoint, or an address beside one."""

    endpoint_id: UUID
    url: str | None


def named(session: Session, controller: UUID, urls: Sequence[str]) -> list[Named]:
    """Receivers that shall hear of a request until its case is closed.

    Each must lie at the origin (scheme, host and port) of an endpoint that the controller has
    registered, whose secret signs: whoever may submit requests may not choose where data goes.
    """
    endpoints = session.scalars(
        select(WebhookEndpoint)
        .where(WebhookEndpoint.controller_id == controller, IS_HEARD)
        .order_by(WebhookEndpoint.id)
    ).all()
    known = [(read_url(endpoint.url, http_loopback=True), endpoint) for endpoint in endpoints]
    found: dict[str, Named] = {}
    for position, url in enumerate(urls):
        try:
            target = read_url(url, http_loopback=True)
        except RefusedUrl as error:
            raise _refused(position, str(error)) from None
        if target.url in found:
            continue
        same = [endpoint for other, endpoint in known if other.url == target.url]
        near = [endpoint for other, endpoint in known if other.origin == target.origin]
        if not near:
            raise _refused(position, "must be at the host of one of your registered webhooks")
        found[target.url] = Named((same or near)[0].id, None if same else target.url)
    return list(found.values())


def name_callbacks(
    session: Session, request: UUID, receivers: Sequence[Named], *, now: datetime
) -> None:
    session.add_all(
        RequestCallback(
            request_id=request,
            endpoint_id=receiver.endpoint_id,
            dialect=STANDARD,
            url=receiver.url,
            created_at=now,
        )
        for receiver in receivers
    )
    _name(session, request)


def add_callbacks(
    session: Session, request: UUID, dialect: str, urls: Sequence[str], *, now: datetime
) -> None:
    """The same for a dialect that signs with a key of its own: no endpoint is needed. The caller
    has looked at the URLs (`addresses.read_url`)."""
    session.add_all(
        RequestCallback(
            request_id=request, endpoint_id=None, dialect=dialect, url=url, created_at=now
        )
        for url in dict.fromkeys(urls)
    )
    _name(session, request)


def _name(session: Session, request: UUID) -> None:
    session.flush()
    session.info.setdefault(OWN_RECEIVERS, set()).add(request)


def end_callbacks(session: Session, request: UUID, *, now: datetime) -> None:
    """Nothing more will happen to this request. What is queued is still sent, then the URLs go."""
    session.execute(
        update(RequestCallback)
        .where(RequestCallback.request_id == request, RequestCallback.ended_at.is_(None))
        .values(ended_at=now)
    )
    cut_ended_urls(session, RequestCallback.request_id == request)


def cut_ended_urls(session: Session, which: ColumnElement[bool]) -> None:
    """A callback's URL may tell whom a case is about: it goes when nothing waits for it."""
    waits = (
        select(WebhookDelivery.id)
        .where(
            WebhookDelivery.callback_id == RequestCallback.id,
            WebhookDelivery.state.in_(OPEN_DELIVERY),
        )
        .exists()
    )
    session.execute(
        update(RequestCallback)
        .where(which, RequestCallback.ended_at.is_not(None), RequestCallback.url.is_not(None))
        .where(~waits)
        .values(url=None)
        .execution_options(synchronize_session=False)
    )


def stop_open(
    session: Session, which: ColumnElement[bool], error: DeliveryError | None, *, now: datetime
) -> None:
    """Ends what nobody wants any more, and waits for nobody: a transaction that tells of many
    requests holds rows of many streams, in an order of its own.

    What is held elsewhere is left: it is looked at again before it is sent.
    """
    is_open = WebhookDelivery.state.in_(OPEN_DELIVERY)
    found = select(WebhookDelivery.id).where(which, is_open).order_by(WebhookDelivery.id).limit(500)
    free = found.with_for_update(key_share=True, skip_locked=True)
    while ids := session.scalars(free).all():
        session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.id.in_(ids))
            .values(state=DeliveryState.STOPPED, last_error=error, lease_until=None, ended_at=now)
            .execution_options(synchronize_session=False)
        )


def call_up(session: Session, *, now: datetime) -> None:
    """Makes the first of each stream due that has none: those in front of it were stopped while
    somebody else held it."""
    other = aliased(WebhookDelivery)
    in_front = select(other.id).where(
        other.stream == WebhookDelivery.stream,
        (other.state == DeliveryState.WAITING)
        | (other.state == DeliveryState.QUEUED) & (other.id < WebhookDelivery.id),
    )
    first = session.scalars(
        select(WebhookDelivery.id)
        .where(WebhookDelivery.state == DeliveryState.QUEUED, ~in_front.exists())
        .order_by(WebhookDelivery.id)
        .with_for_update(key_share=True, skip_locked=True)
    ).all()
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(first), WebhookDelivery.state == DeliveryState.QUEUED)
        .values(state=DeliveryState.WAITING, next_attempt_at=now)
        .execution_options(synchronize_session=False)
    )


def _refused(position: int, message: str) -> CallbackUrlRefused:
    return CallbackUrlRefused(
        "Register the receiver first: POST /api/v1/webhooks, with a key that has webhooks:admin.",
        errors=[FieldError(field=f"callback_urls.{position}", message=message)],
    )
