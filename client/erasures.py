"""Calls about erasure requests, their runs and the audit log."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from client.answers import (
    Answer,
    AuditEntry,
    AuditHead,
    Erasure,
    ErasureSummary,
    ModelImpact,
    Run,
    RunSummary,
)
from client.transport import API, Transport, polls

REQUESTS = f"{API}/erasure-requests"


@dataclass(frozen=True)
class Subject:
    """One identity of the person. `format` is `raw`, or `sha256` of the normalised value."""

    value: str
    type: str = "controller_customer_id"
    format: str = "raw"

    def body(self) -> dict[str, str]:
        return {"type": self.type, "value": self.value, "format": self.format}


class _Impact(Answer):
    models: list[ModelImpact]


class ErasureCalls(Transport):
    def impact(
        self, subjects: Sequence[Subject], *, models: Sequence[str] | None = None
    ) -> list[ModelImpact]:
        """What a request would touch. Nothing is stored or changed."""
        body = {"subjects": [one.body() for one in subjects], "models": models and list(models)}
        return self.send("POST", f"{REQUESTS}/impact", _Impact, body).models

    def submit_erasure(
        self,
        subjects: Sequence[Subject],
        *,
        regulation: str = "gdpr",
        external_id: str | None = None,
        legal_ground: str | None = None,
        submitted_at: datetime | None = None,
        models: Sequence[str] | None = None,
        callback_urls: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Erasure:
        """Accepts a request. With the same `idempotency_key` or `external_id` and the same
        content it may be sent again: it stays one request."""
        body = {
            "external_id": external_id,
            "subjects": [one.body() for one in subjects],
            "regulation": regulation,
            "legal_ground": legal_ground,
            "submitted_at": submitted_at and submitted_at.isoformat(),
            "models": models and list(models),
            "callback_urls": callback_urls and list(callback_urls),
        }
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
        return self.send("POST", REQUESTS, Erasure, body, headers)

    def get_request(self, request: str) -> Erasure:
        return self.get(f"{REQUESTS}/{request}", Erasure)

    def list_requests(
        self,
        *,
        state: str | None = None,
        external_id: str | None = None,
        limit: int | None = None,
    ) -> Iterator[ErasureSummary]:
        """All requests, newest first; `limit` is the size of a page, not of the list."""
        wanted = {"state": state, "external_id": external_id, "limit": limit}
        return self.pages(REQUESTS, ErasureSummary, wanted)

    def watch(
        self, request: str, *, timeout: float | None = None, interval: float = 0.3
    ) -> Iterator[Erasure]:
        """The request as it is now and after every poll, until it ends or waits for a person."""
        for _ in polls(interval, timeout, "the request"):
            erasure = self.get_request(request)
            yield erasure
            if erasure.ended or erasure.waits_for_person:
                return

    def cancel(self, request: str) -> Erasure:
        return self.send("POST", f"{REQUESTS}/{request}/cancel", Erasure)

    def decide(
        self,
        request: str,
        item: str,
        action: str,
        *,
        method: str | None = None,
        settings: Mapping[str, Any] | None = None,
        reason_code: str | None = None,
    ) -> Erasure:
        """`action` is `retry`, `retrain`, `accept` or `refuse`; only `retry` takes `method` and
        `settings`."""
        body = {
            "item": item,
            "action": action,
            "method": method,
            "settings": settings,
            "reason_code": reason_code,
        }
        return self.send("POST", f"{REQUESTS}/{request}/decide", Erasure, body)

    def get_run(self, run: str) -> Run:
        return self.get(f"{API}/runs/{run}", Run)

    def list_runs(
        self, *, model: str | None = None, state: str | None = None
    ) -> Iterator[RunSummary]:
        return self.pages(f"{API}/runs", RunSummary, {"model": model, "state": state})

    def audit_entries(self, *, request: str | None = None) -> Iterator[AuditEntry]:
        """The log in its own order, or one request's part of it."""
        return self.pages(f"{API}/audit/entries", AuditEntry, {"request": request})

    def audit_head(self) -> AuditHead:
        return self.get(f"{API}/audit/head", AuditHead)
