"""Endpoints of a controller: make, remove, disable, enable, change the secret, try."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, undefer

from app.audit import kinds, log
from app.http.problems import Conflict, FieldError, InvalidInput, NotFound
from app.ids import webhook_id
from app.keyring import Keyring
from app.webhooks.addresses import RefusedUrl, read_url
from app.webhooks.events import EventType, News
from app.webhooks.secrets import new_secret, seal, shown, url_digest
from app.webhooks.service import Receiver, cut_ended_urls, queue, stop_open
from app.webhooks.tables import (
    DeliveryError,
    DisabledBy,
    RequestCallback,
    WebhookDelivery,
    WebhookEndpoint,
)

# Every event costs a row for each of them.
MOST_ENDPOINTS = 20


class UnknownWebhook(NotFound):
    code = "unknown-webhook"
    title = "No such webhook"


class TooManyWebhooks(Conflict):
    code = "too-many-webhooks"
    title = "There are as many webhooks as a controller may have"


class UrlTaken(Conflict):
    code = "url-taken"
    title = "Another webhook has this URL"


class WebhookDisabled(Conflict):
    code = "webhook-disabled"
    title = "The webhook is disabled"


def kept(controller: UUID) -> Select[WebhookEndpoint]:
    return select(WebhookEndpoint).where(
        WebhookEndpoint.controller_id == controller, WebhookEndpoint.removed_at.is_(None)
    )


def find(session: Session, controller: UUID, id: UUID, *, lock: bool = False) -> WebhookEndpoint:
    """An unknown id and another controller's are answered alike."""
    query = kept(controller).where(WebhookEndpoint.id == id)
    if lock:
        query = query.with_for_update(key_share=True).options(undefer(WebhookEndpoint.secret))
    endpoint = session.scalar(query)
    if endpoint is None:
        raise UnknownWebhook("There is no such webhook, or it is not yours.")
    return endpoint


def create(
    session: Session,
    keyring: Keyring,
    controller: UUID,
    url: str,
    events: Sequence[EventType],
    *,
    http_loopback: bool,
    actor: str,
    now: datetime,
) -> tuple[WebhookEndpoint, str]:
    """The endpoint and its secret, which cannot be had again."""
    try:
        target = read_url(url, http_loopback=http_loopback)
    except RefusedUrl as error:
        raise InvalidInput(
            "The URL cannot be called.", errors=[FieldError(field="url", message=str(error))]
        ) from None
    counted = select(func.count()).select_from(kept(controller).subquery())
    if (session.scalar(counted) or 0) >= MOST_ENDPOINTS:
        raise TooManyWebhooks(f"Remove one first: at most {MOST_ENDPOINTS} can be registered.")
    endpoint = WebhookEndpoint(
        controller_id=controller,
        url=target.url,
        secret=b"",
        events=sorted(set(events)),
        created_at=now,
    )
    try:
        with session.begin_nested():
            session.add(endpoint)
    except IntegrityError:
        raise UrlTaken(
            "Remove the other one first.", errors=[FieldError(field="url", message="is in use")]
        ) from None
    secret = new_secret()
    endpoint.secret = seal(keyring, endpoint.id, secret)
    log.append(
        session,
        kinds.WebhookCreated(
            controller=controller,
            webhook=endpoint.id,
            url_digest=url_digest(keyring, endpoint.url),
            events=tuple(endpoint.events),
            actor=actor,
        ),
        now=now,
    )
    return endpoint, shown(secret)


def remove(session: Session, endpoint: WebhookEndpoint, *, actor: str, now: datetime) -> None:
    """Its secrets and URL go, and what still waits for it is not sent any more; requests that named
    a receiver at its origin lose that too. `endpoint` is held by this transaction."""
    endpoint.removed_at, endpoint.url = now, ""
    endpoint.secret, endpoint.previous_secret = b"", None
    session.flush()
    session.execute(
        update(RequestCallback)
        .where(RequestCallback.endpoint_id == endpoint.id, RequestCallback.ended_at.is_(None))
        .values(ended_at=now)
    )
    _stop(session, endpoint, now)
    cut_ended_urls(session, RequestCallback.endpoint_id == endpoint.id)
    log.append(
        session,
        kinds.WebhookRemoved(controller=endpoint.controller_id, webhook=endpoint.id, actor=actor),
        now=now,
    )


def disable(session: Session, endpoint: WebhookEndpoint, *, actor: str, now: datetime) -> None:
    """Nothing is queued while it is disabled, and what waits is not sent any more."""
    if endpoint.disabled_at is not None:
        return
    endpoint.disabled_at, endpoint.disabled_by = now, DisabledBy.CALLER
    session.flush()
    _stop(session, endpoint, now)
    log.append(
        session,
        kinds.WebhookDisabled(
            controller=endpoint.controller_id,
            webhook=endpoint.id,
            by=DisabledBy.CALLER,
            actor=actor,
        ),
        now=now,
    )


def enable(session: Session, endpoint: WebhookEndpoint, *, actor: str, now: datetime) -> None:
    if endpoint.disabled_at is None:
        return
    endpoint.disabled_at = endpoint.disabled_by = None
    log.append(
        session,
        kinds.WebhookEnabled(controller=endpoint.controller_id, webhook=endpoint.id, actor=actor),
        now=now,
    )


def rotate(
    session: Session,
    keyring: Keyring,
    endpoint: WebhookEndpoint,
    *,
    overlap: timedelta,
    actor: str,
    now: datetime,
) -> str:
    """A new secret; until the overlap ends, messages are signed with both. The one before the
    previous one ends at once."""
    secret = new_secret()
    endpoint.previous_secret = endpoint.secret if overlap else None
    endpoint.previous_secret_until = now + overlap if overlap else None
    endpoint.secret = seal(keyring, endpoint.id, secret)
    log.append(
        session,
        kinds.WebhookSecretRotated(
            controller=endpoint.controller_id,
            webhook=endpoint.id,
            previous_until=now + overlap,
            actor=actor,
        ),
        now=now,
    )
    return shown(secret)


def ping(session: Session, endpoint: WebhookEndpoint, *, now: datetime) -> WebhookDelivery:
    """A message that says nothing, to see whether it arrives."""
    if endpoint.disabled_at is not None:
        raise WebhookDisabled("Enable it first.")
    news = News(
        endpoint.controller_id, EventType.PING, {"webhook": webhook_id(endpoint.id)}, None, now
    )
    identity = queue(session, news, Receiver.of(endpoint))
    return session.scalars(
        select(WebhookDelivery).where(WebhookDelivery.message_id == identity)
    ).one()


def _stop(session: Session, endpoint: WebhookEndpoint, now: datetime) -> None:
    which = WebhookDelivery.endpoint_id == endpoint.id
    stop_open(session, which, DeliveryError.NO_LONGER_WANTED, now=now)
