"""Calls about who is told of changes, and what became of each message."""

from collections.abc import Iterator, Sequence

from client.answers.webhooks import Delivery, NewWebhook, Webhook
from client.transport import API, Transport

WEBHOOKS = f"{API}/webhooks"


class WebhookCalls(Transport):
    def create_webhook(self, url: str, *, events: Sequence[str] | None = None) -> NewWebhook:
        """Keep the secret that comes back: it is shown once. Without `events`, every event."""
        body = {"url": url, "events": None if events is None else list(events)}
        return self.create(WEBHOOKS, NewWebhook, body)

    def get_webhook(self, webhook: str) -> Webhook:
        return self.get(f"{WEBHOOKS}/{webhook}", Webhook)

    def list_webhooks(self) -> Iterator[Webhook]:
        """Newest first."""
        return self.pages(WEBHOOKS, Webhook)

    def remove_webhook(self, webhook: str) -> Webhook:
        """Ends it at once; what waits for it is not sent any more."""
        return self.send("DELETE", f"{WEBHOOKS}/{webhook}", Webhook)

    def rotate_webhook_secret(
        self, webhook: str, *, overlap_seconds: int | None = None
    ) -> NewWebhook:
        """A new secret. Messages are signed with both during the overlap, a day unless given."""
        body = {"overlap_seconds": overlap_seconds}
        return self.send("POST", f"{WEBHOOKS}/{webhook}/rotate-secret", NewWebhook, body)

    def test_webhook(self, webhook: str) -> Delivery:
        """Sends a ping; `get_delivery` tells what became of it."""
        return self.send("POST", f"{WEBHOOKS}/{webhook}/test", Delivery)

    def disable_webhook(self, webhook: str) -> Webhook:
        return self.send("POST", f"{WEBHOOKS}/{webhook}/disable", Webhook)

    def enable_webhook(self, webhook: str) -> Webhook:
        return self.send("POST", f"{WEBHOOKS}/{webhook}/enable", Webhook)

    def list_deliveries(
        self,
        *,
        state: str | None = None,
        request: str | None = None,
        webhook: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Delivery]:
        """Newest first."""
        given = {"state": state, "request": request, "webhook": webhook, "limit": limit}
        return self.pages(f"{WEBHOOKS}/deliveries", Delivery, given)

    def get_delivery(self, delivery: str) -> Delivery:
        return self.get(f"{WEBHOOKS}/deliveries/{delivery}", Delivery)

    def replay_delivery(self, delivery: str) -> Delivery:
        """Sends a message again under the same id; of one request, only the newest."""
        return self.send("POST", f"{WEBHOOKS}/deliveries/{delivery}/replay", Delivery)
