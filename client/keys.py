"""Calls about the controller's own API keys."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from client.answers.keys import ApiKey, NewApiKey
from client.transport import API, Transport

KEYS = f"{API}/keys"


class KeyCalls(Transport):
    def list_keys(self) -> Iterator[ApiKey]:
        """Newest first, those that have ended among them."""
        return self.pages(KEYS, ApiKey)

    def create_key(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> NewApiKey:
        """With scopes that this client's own key has. Keep what comes back: it is shown once. The
        problem `key-shown-before` says that the key was made and its answer lost: revoke it."""
        body = {
            "name": name,
            "scopes": list(scopes),
            "expires_at": expires_at and expires_at.isoformat(),
        }
        return self.create(KEYS, NewApiKey, body, idempotency_key=idempotency_key)

    def rotate_key(
        self, key: str, *, overlap_seconds: int | None = None, expires_at: datetime | None = None
    ) -> NewApiKey:
        """A successor of the key with this id; both are valid during the overlap, a day unless
        given."""
        body = {
            "overlap_seconds": overlap_seconds,
            "expires_at": expires_at and expires_at.isoformat(),
        }
        return self.create(f"{KEYS}/{key}/rotate", NewApiKey, body)

    def revoke_key(self, key: str) -> ApiKey:
        """Ends the key with this id at once."""
        return self.send("DELETE", f"{KEYS}/{key}", ApiKey)
