"""The wire form of webhooks and their deliveries."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.ids import MessageId, RequestId, WebhookId
from app.webhooks.addresses import LONGEST_URL
from app.webhooks.events import EventType
from app.webhooks.tables import DeliveryError, DeliveryState, DisabledBy

DAY, WEEK = 86_400, 7 * 86_400


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class CreateWebhook(_Input):
    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=LONGEST_URL,
            description="https, a public host name, port 443 or from 1024 upwards.",
        ),
    ]
    events: Annotated[
        list[EventType] | None,
        Field(
            min_length=1,
            max_length=50,
            description="Default: every event, those of later versions too.",
        ),
    ] = None


class RotateWebhookSecret(_Input):
    overlap_seconds: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=WEEK,
            description="How long messages are signed with the old one as well.",
        ),
    ] = DAY


class WebhookView(BaseModel):
    id: WebhookId
    url: str
    events: Annotated[list[EventType] | None, Field(description="null: every event.")]
    created_at: datetime
    disabled_at: datetime | None
    disabled_by: Annotated[
        DisabledBy | None, Field(description="`receiver`: it answered 410 to a message.")
    ]
    previous_secret_until: Annotated[
        datetime | None, Field(description="Until then messages are signed with two secrets.")
    ]


class NewWebhook(WebhookView):
    secret: Annotated[str, Field(description="`whsec_…`, shown only now.")]


class DeliveryView(BaseModel):
    id: Annotated[MessageId, Field(description="The `webhook-id` of the message.")]
    webhook: WebhookId | None
    request: RequestId | None
    named_by_request: Annotated[
        bool, Field(description="Sent to a URL of the request's `callback_urls`.")
    ]
    event: str
    state: DeliveryState
    attempts: int
    next_attempt_at: Annotated[datetime | None, Field(description="Of a waiting message.")]
    last_status: Annotated[int | None, Field(description="HTTP status of the last answer.")]
    last_error: DeliveryError | None
    created_at: datetime
    ended_at: datetime | None
