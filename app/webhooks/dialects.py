"""How a receiver is spoken to: the body of a message, and the headers that sign it.

Here is the one dialect that registered endpoints speak, Standard Webhooks. Another protocol adds
its own under a name of its own and names that in `request_callbacks`; the rest of this folder
(order, retries, addresses, records) knows neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy.orm import Session
from standardwebhooks import Webhook

from app.config import Settings
from app.ids import message_id
from app.webhooks.events import News, message

STANDARD = "standard"


@dataclass(frozen=True)
class Letter:
    """One message at one attempt. `secrets`: of the endpoint, newest first; none if it has none."""

    message_id: UUID
    payload: bytes
    secrets: Sequence[bytes] = field(repr=False)


class CannotSign(Exception):
    """The key that signs cannot be used at present."""


class Dialect(Protocol):
    def body(self, session: Session, news: News, url: str) -> bytes | None:
        """Exactly what will be sent, written in the transaction of the change; None if this dialect
        does not tell of it."""

    def headers(self, letter: Letter, settings: Settings, *, now: datetime) -> Mapping[str, str]:
        """Signed over the very bytes of the payload; raises CannotSign."""


class StandardWebhooks:
    """https://www.standardwebhooks.com: HMAC-SHA-256 over id, time and body, one signature for
    each secret that is valid."""

    def body(self, session: Session, news: News, url: str) -> bytes | None:
        return message(news)

    def headers(self, letter: Letter, settings: Settings, *, now: datetime) -> Mapping[str, str]:
        identity, text = message_id(letter.message_id), letter.payload.decode("utf-8")
        # The library takes the time as UTC, whatever its zone says.
        at = now.astimezone(UTC).replace(microsecond=0)
        signatures = [Webhook(secret).sign(identity, at, text) for secret in letter.secrets]
        return {
            "webhook-id": identity,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


DIALECTS: dict[str, Dialect] = {STANDARD: StandardWebhooks()}
