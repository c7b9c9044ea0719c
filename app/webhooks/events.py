"""What callbacks tell of, and the one form that a message has.

A message holds ids, states, codes and times: no identity, no external id, no text that somebody
typed. It is stored and sent over networks, and whoever needs more asks the API for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.canonical import canonical_json, instant_text


class EventType(StrEnum):
    REQUEST_SCHEDULED = "erasure_request.scheduled"
    REQUEST_AWAITING_APPROVAL = "erasure_request.awaiting_approval"
    REQUEST_RUNNING = "erasure_request.running"
    REQUEST_ON_HOLD = "erasure_request.on_hold"
    REQUEST_NEEDS_DECISION = "erasure_request.needs_decision"
    REQUEST_FAILED = "erasure_request.failed"
    REQUEST_COMPLETED = "erasure_request.completed"
    REQUEST_CANCELLED = "erasure_request.cancelled"
    REQUEST_REFUSED = "erasure_request.refused"
    REQUEST_CLOSED = "erasure_request.closed"
    REQUEST_DUE_SOON = "erasure_request.due_soon"
    REQUEST_OVERDUE = "erasure_request.overdue"
    CERTIFICATE_WRITTEN = "certificate.written"
    DATASET_READY = "dataset.ready"
    DATASET_INVALID = "dataset.invalid"
    MODEL_READY = "model.ready"
    MODEL_INVALID = "model.invalid"
    VERSION_READY = "model_version.ready"
    VERSION_INVALID = "model_version.invalid"
    PING = "webhook.ping"


# The guide's table says the same, and a test compares them.
MEANING: Mapping[EventType, str] = {
    EventType.REQUEST_SCHEDULED: "accepted, or reopened: its models wait for a run",
    EventType.REQUEST_AWAITING_APPROVAL: "waits for a person's approval",
    EventType.REQUEST_RUNNING: "a run has begun on one of its models",
    EventType.REQUEST_ON_HOLD: "put on hold by a person",
    EventType.REQUEST_NEEDS_DECISION: "a result was rejected, and a person must decide",
    EventType.REQUEST_FAILED: "a run failed, and a person must decide",
    EventType.REQUEST_COMPLETED: "ended; `outcome` says how. It may be reopened until it is closed",
    EventType.REQUEST_CANCELLED: "ended: taken back before anything was published",
    EventType.REQUEST_REFUSED: "ended: refused, for the reason in `reason_code`",
    EventType.REQUEST_CLOSED: "its rollback window is over: nothing can be taken back any more",
    EventType.REQUEST_DUE_SOON: "it is due in 10, in 5 or in 2 days (`days_left`) and still open",
    EventType.REQUEST_OVERDUE: "its due date has passed and it is still open",
    EventType.CERTIFICATE_WRITTEN: "a certificate exists, or a newer one replaces it",
    EventType.DATASET_READY: "a dataset was checked and can be used",
    EventType.DATASET_INVALID: "a dataset was checked and cannot be used",
    EventType.MODEL_READY: "a model's first version was checked: it can be unlearned from now on",
    EventType.MODEL_INVALID: "a model's first version cannot be used",
    EventType.VERSION_READY: "a version trained elsewhere was checked and can be served",
    EventType.VERSION_INVALID: "a version trained elsewhere cannot be used",
    EventType.PING: "somebody tries the endpoint; sent whatever it subscribes to",
}


@dataclass(frozen=True)
class News:
    """Something that happened, before any dialect puts it into words."""

    controller_id: UUID
    event: EventType
    data: Mapping[str, Any]
    request_id: UUID | None
    at: datetime


def message(news: News) -> bytes:
    """`{"data":{..},"timestamp":"..","type":".."}`, the body that Standard Webhooks asks for."""
    return canonical_json(
        {"type": news.event, "timestamp": instant_text(news.at), "data": dict(news.data)}
    )
