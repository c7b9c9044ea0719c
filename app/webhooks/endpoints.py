"""`/webhooks`: who is told of changes, and what became of each message."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status
from sqlalchemy import select

from app import bell
from app.http.idempotency import KeyHeader, Once, RawBody
from app.http.pages import DEFAULT_LIMIT, Cursor, Limit, Page, newest_first
from app.http.problems import Conflict
from app.http.sessions import CurrentRuntime, Now, ReadSession, WriteSession
from app.ids import MessageId, RequestId, WebhookId, webhook_id
from app.keys.auth import Caller, require
from app.keys.scopes import Scope
from app.webhooks import receivers, replaying
from app.webhooks.schemas import (
    CreateWebhook,
    DeliveryView,
    NewWebhook,
    RotateWebhookSecret,
    WebhookView,
)
from app.webhooks.tables import DeliveryState, WebhookDelivery, WebhookEndpoint

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

Admin = Annotated[Caller, Depends(require(Scope.WEBHOOKS_ADMIN))]


class SecretShownBefore(Conflict):
    code = "secret-shown-before"
    title = "A secret is shown once"


@router.post("", status_code=status.HTTP_201_CREATED)
def create_webhook(
    body: CreateWebhook,
    raw: RawBody,
    caller: Admin,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    response: Response,
    key: KeyHeader = None,
) -> NewWebhook:
    """Registers a receiver. Its secret is shown once: a repeat with the same `Idempotency-Key`
    registers no second one, and is refused with the address of the first."""
    owner = caller.controller_id
    once = Once(runtime.keyring, owner, "webhook-body", owner.bytes + raw, key, now=now)
    if known := once.earlier(session):
        raise SecretShownBefore(
            "This call has registered a receiver already. If you do not have its secret, rotate "
            "it.",
            headers={"Location": _address(known)},
        )
    endpoint, secret = receivers.create(
        session,
        runtime.keyring,
        caller.controller_id,
        body.url,
        body.events or [],
        http_loopback=runtime.settings.callbacks_http_loopback,
        actor=caller.actor,
        now=now,
    )
    once.created(session, endpoint.id)
    response.headers["Location"] = _address(endpoint.id)
    response.headers["Cache-Control"] = "no-store"
    return NewWebhook(**_view(endpoint).model_dump(), secret=secret)


@router.get("")
def list_webhooks(
    caller: Admin, session: ReadSession, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[WebhookView]:
    """The controller's receivers, newest first, without their secrets."""
    query = receivers.kept(caller.controller_id)
    rows, following = newest_first(session, query, WebhookEndpoint.id, cursor, limit)
    return Page(items=[_view(row) for row in rows], next_cursor=following)


@router.get("/deliveries")
def list_deliveries(
    caller: Admin,
    session: ReadSession,
    state: Annotated[list[DeliveryState] | None, Query(max_length=10)] = None,
    request: Annotated[RequestId | None, Query()] = None,
    webhook: Annotated[WebhookId | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[DeliveryView]:
    """Newest first. What a receiver answered is not kept, beyond its status."""
    query = select(WebhookDelivery).where(WebhookDelivery.controller_id == caller.controller_id)
    if state:
        query = query.where(WebhookDelivery.state.in_(state))
    if request is not None:
        query = query.where(WebhookDelivery.request_id == request)
    if webhook is not None:
        query = query.where(WebhookDelivery.endpoint_id == webhook)
    rows, following = newest_first(session, query, WebhookDelivery.message_id, cursor, limit)
    return Page(items=[_delivery(row) for row in rows], next_cursor=following)


@router.get("/deliveries/{id}")
def get_delivery(id: MessageId, caller: Admin, session: ReadSession) -> DeliveryView:
    """What became of one message: attempts, the last answer's status, when it is tried again."""
    return _delivery(replaying.find(session, caller.controller_id, id))


@router.post("/deliveries/{id}/replay", status_code=status.HTTP_202_ACCEPTED)
def replay_delivery(
    id: MessageId, caller: Admin, session: WriteSession, runtime: CurrentRuntime, now: Now
) -> DeliveryView:
    """Sends a message again that was delivered, given up or stopped, under the same `webhook-id`.
    Of the messages about one request, only the newest: an older state never follows a newer."""
    row = replaying.find(session, caller.controller_id, id)
    replaying.replay(session, row, now=now)
    bell.ring_after_commit(session, runtime.settings)
    return _delivery(row)


@router.get("/{id}")
def get_webhook(id: WebhookId, caller: Admin, session: ReadSession) -> WebhookView:
    """A receiver, without its secret, which is shown once and never again."""
    return _view(receivers.find(session, caller.controller_id, id))


@router.delete("/{id}")
def remove_webhook(id: WebhookId, caller: Admin, session: WriteSession, now: Now) -> WebhookView:
    """Ends it at once: what waits for it is not sent any more, and its secrets are gone."""
    endpoint = receivers.find(session, caller.controller_id, id, lock=True)
    before = _view(endpoint)
    receivers.remove(session, endpoint, actor=caller.actor, now=now)
    return before


@router.post("/{id}/rotate-secret")
def rotate_webhook_secret(
    id: WebhookId,
    body: RotateWebhookSecret,
    caller: Admin,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    response: Response,
) -> NewWebhook:
    """A new secret, shown once. During the overlap each message carries a signature of both."""
    endpoint = receivers.find(session, caller.controller_id, id, lock=True)
    secret = receivers.rotate(
        session,
        runtime.keyring,
        endpoint,
        overlap=timedelta(seconds=body.overlap_seconds),
        actor=caller.actor,
        now=now,
    )
    response.headers["Cache-Control"] = "no-store"
    return NewWebhook(**_view(endpoint).model_dump(), secret=secret)


@router.post("/{id}/test", status_code=status.HTTP_202_ACCEPTED)
def test_webhook(
    id: WebhookId, caller: Admin, session: WriteSession, runtime: CurrentRuntime, now: Now
) -> DeliveryView:
    """Sends a `webhook.ping`; `GET /webhooks/deliveries/{id}` tells what became of it."""
    endpoint = receivers.find(session, caller.controller_id, id)
    row = receivers.ping(session, endpoint, now=now)
    bell.ring_after_commit(session, runtime.settings)
    return _delivery(row)


@router.post("/{id}/disable")
def disable_webhook(id: WebhookId, caller: Admin, session: WriteSession, now: Now) -> WebhookView:
    """Nothing is sent to it until it is enabled again; what waits is stopped."""
    endpoint = receivers.find(session, caller.controller_id, id, lock=True)
    receivers.disable(session, endpoint, actor=caller.actor, now=now)
    return _view(endpoint)


@router.post("/{id}/enable")
def enable_webhook(id: WebhookId, caller: Admin, session: WriteSession, now: Now) -> WebhookView:
    """What happened while it was disabled is not made up for."""
    endpoint = receivers.find(session, caller.controller_id, id, lock=True)
    receivers.enable(session, endpoint, actor=caller.actor, now=now)
    return _view(endpoint)


def _address(endpoint: UUID) -> str:
    return f"/api/v1/webhooks/{webhook_id(endpoint)}"


def _view(endpoint: WebhookEndpoint) -> WebhookView:
    return WebhookView(
        id=endpoint.id,
        url=endpoint.url,
        events=endpoint.events or None,
        created_at=endpoint.created_at,
        disabled_at=endpoint.disabled_at,
        disabled_by=endpoint.disabled_by,
        previous_secret_until=endpoint.previous_secret_until,
    )


def _delivery(row: WebhookDelivery) -> DeliveryView:
    return DeliveryView(
        id=row.message_id,
        webhook=row.endpoint_id,
        request=row.request_id,
        named_by_request=row.callback_id is not None,
        event=row.event,
        state=row.state,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at if row.state is DeliveryState.WAITING else None,
        last_status=row.last_status,
        last_error=row.last_error,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
