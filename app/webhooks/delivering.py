"""A sender's side of a delivery: claim, read, note how it went. Each in a short transaction, none
of them open while the network works.

Whoever claims a message holds it for a lease; of a sender that died, the message is due again when
the lease ends, under the same id. So a receiver may get a message twice, but from two senders at
once never.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session, undefer

from app.audit import kinds, log
from app.keyring import Keyring
from app.webhooks import retries
from app.webhooks.dialects import DIALECTS, STANDARD, Dialect, Letter
from app.webhooks.secrets import unseal, url_digest
from app.webhooks.sending import Result
from app.webhooks.service import cut_ended_urls, stop_open
from app.webhooks.tables import (
    DeliveryError,
    DeliveryState,
    DisabledBy,
    RequestCallback,
    WebhookDelivery,
    WebhookEndpoint,
)

# Six times what an attempt may take, and three times what clocks of a fleet may differ by.
LEASE = timedelta(seconds=60)
# A host that is slow must not hold every sender.
MOST_PER_HOST = 4


@dataclass(frozen=True)
class Claimed:
    delivery_id: int
    attempt: int
    until: datetime


@dataclass(frozen=True)
class Post:
    """What one attempt sends, and where."""

    url: str = field(repr=False)
    dialect: Dialect
    letter: Letter = field(repr=False)


def _is_due(now: datetime) -> ColumnElement[bool]:
    """A message that is being sent is due again when its lease ends."""
    return (WebhookDelivery.state == DeliveryState.WAITING) & (
        WebhookDelivery.next_attempt_at <= now
    )


def anything_due(session: Session, *, now: datetime) -> bool:
    return session.scalar(select(WebhookDelivery.id).where(_is_due(now)).limit(1)) is not None


def claim(session: Session, *, most: int, now: datetime) -> list[Claimed]:
    """At most so many messages that are due, the longest due first, few to any one host."""
    held = Counter(
        dict(
            session.execute(
                select(WebhookDelivery.host, func.count())
                .where(WebhookDelivery.lease_until > now)
                .group_by(WebhookDelivery.host)
            ).all()
        )
    )
    full = [host for host, count in held.items() if count >= MOST_PER_HOST]
    due = session.execute(
        select(WebhookDelivery.id, WebhookDelivery.host, WebhookDelivery.attempts)
        .where(_is_due(now), WebhookDelivery.host.not_in(full))
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
        .limit(4 * most)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    claimed: list[Claimed] = []
    for identity, host, attempts in due:
        if held[host] >= MOST_PER_HOST or len(claimed) == most:
            continue
        held[host] += 1
        claimed.append(Claimed(identity, attempts + 1, now + LEASE))
    for one in claimed:
        session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.id == one.delivery_id)
            .values(attempts=one.attempt, next_attempt_at=one.until, lease_until=one.until)
            .execution_options(synchronize_session=False)
        )
    return claimed


def read(session: Session, keyring: Keyring, claimed: Claimed, *, now: datetime) -> Post | None:
    """None if nobody wants the message any more; raises SecretUnreadable."""
    row = session.get_one(
        WebhookDelivery, claimed.delivery_id, options=[undefer(WebhookDelivery.payload)]
    )
    endpoint = (
        session.get_one(
            WebhookEndpoint,
            row.endpoint_id,
            options=[undefer(WebhookEndpoint.secret), undefer(WebhookEndpoint.previous_secret)],
        )
        if row.endpoint_id
        else None
    )
    callback = session.get_one(RequestCallback, row.callback_id) if row.callback_id else None
    if endpoint is not None and (endpoint.removed_at or endpoint.disabled_at):
        return None
    url = callback.url if callback is not None else endpoint.url if endpoint is not None else None
    if url is None:
        return None
    secrets = []
    if endpoint is not None:
        secrets.append(unseal(keyring, endpoint.id, endpoint.secret))
        until = endpoint.previous_secret_until
        if endpoint.previous_secret is not None and until is not None and now < until:
            secrets.append(unseal(keyring, endpoint.id, endpoint.previous_secret))
    dialect = DIALECTS[callback.dialect if callback is not None else STANDARD]
    return Post(url, dialect, Letter(row.message_id, row.payload, secrets))


def note(
    session: Session,
    keyring: Keyring,
    claimed: Claimed,
    result: Result,
    *,
    now: datetime,
    random: Callable[[], float],
) -> DeliveryState | None:
    """Writes how an attempt ended; None if the message is no longer this sender's."""
    row = session.get_one(WebhookDelivery, claimed.delivery_id)
    if result.error is DeliveryError.GONE:
        _lock_receiver(session, row)
    row = session.scalars(
        select(WebhookDelivery)
        .where(WebhookDelivery.id == claimed.delivery_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()
    if row.state is not DeliveryState.WAITING or row.attempts != claimed.attempt:
        return None
    row.lease_until, row.last_status, row.last_error = None, result.status, result.error
    if result.error is None:
        _end(session, row, DeliveryState.DELIVERED, now)
    elif result.error is DeliveryError.GONE:
        _stop_receiver(session, row, now)
    elif result.error is DeliveryError.NO_LONGER_WANTED:
        _end(session, row, DeliveryState.STOPPED, now)
    else:
        row.failures += 1
        following = retries.next_attempt(
            row.failures, result.retry_after, now=now, give_up_at=row.give_up_at, random=random
        )
        if following is None:
            _log_dead(session, keyring, row, now)
            _end(session, row, DeliveryState.DEAD, now)
        else:
            row.next_attempt_at = following
    session.flush()
    if row.callback_id is not None and row.ended_at is not None:
        cut_ended_urls(session, RequestCallback.id == row.callback_id)
    return row.state


def _end(session: Session, row: WebhookDelivery, state: DeliveryState, now: datetime) -> None:
    """The next message of the stream, if there is one, is due at once."""
    row.state, row.ended_at = state, now
    session.flush()
    if row.stream is None:
        return
    following = session.scalar(
        select(WebhookDelivery.id)
        .where(WebhookDelivery.stream == row.stream, WebhookDelivery.state == DeliveryState.QUEUED)
        .order_by(WebhookDelivery.id)
        .limit(1)
    )
    if following is not None:
        session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.id == following, WebhookDelivery.state == DeliveryState.QUEUED)
            .values(state=DeliveryState.WAITING, next_attempt_at=now)
            .execution_options(synchronize_session=False)
        )


def _lock_receiver(session: Session, row: WebhookDelivery) -> None:
    """First of all, so that two senders that are told the same do not wait for each other."""
    if row.endpoint_id is not None:
        session.execute(
            select(WebhookEndpoint.id)
            .where(WebhookEndpoint.id == row.endpoint_id)
            .with_for_update(key_share=True)
        )


def _of_receiver(row: WebhookDelivery) -> ColumnElement[bool]:
    if row.callback_id is not None:
        return WebhookDelivery.callback_id == row.callback_id
    return (WebhookDelivery.endpoint_id == row.endpoint_id) & WebhookDelivery.callback_id.is_(None)


def _stop_receiver(session: Session, row: WebhookDelivery, now: datetime) -> None:
    """It answered that it is gone: the callback ends, or the endpoint is disabled."""
    if row.callback_id is not None:
        session.get_one(RequestCallback, row.callback_id).ended_at = now
    elif row.endpoint_id is not None:
        endpoint = session.get_one(WebhookEndpoint, row.endpoint_id, populate_existing=True)
        if endpoint.disabled_at is None:
            endpoint.disabled_at, endpoint.disabled_by = now, DisabledBy.RECEIVER
            log.append(
                session,
                kinds.WebhookDisabled(
                    controller=row.controller_id,
                    webhook=endpoint.id,
                    by=DisabledBy.RECEIVER,
                    actor=kinds.SERVICE,
                ),
                now=now,
            )
    _end(session, row, DeliveryState.STOPPED, now)
    stop_open(session, _of_receiver(row), DeliveryError.GONE, now=now)


def _log_dead(session: Session, keyring: Keyring, row: WebhookDelivery, now: datetime) -> None:
    log.append(
        session,
        kinds.WebhookDead(
            controller=row.controller_id,
            request=row.request_id,
            webhook=row.endpoint_id,
            message=row.message_id,
            event=row.event,
            attempts=row.attempts,
            error=str(row.last_error),
            status=row.last_status,
            url_digest=url_digest(keyring, _url_of(session, row)),
        ),
        now=now,
    )


def _url_of(session: Session, row: WebhookDelivery) -> str:
    if row.callback_id is not None:
        return session.get_one(RequestCallback, row.callback_id).url or ""
    return session.get_one(WebhookEndpoint, row.endpoint_id).url if row.endpoint_id else ""
