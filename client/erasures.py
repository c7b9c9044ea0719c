"""Calls about erasure requests, their runs and the audit log."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from client.answers import Answer
from client.answers.audit import AuditEntry, AuditHead, SigningKey
from client.answers.erasures import (
    CaseRecipients,
    Certificate,
    Erasure,
    ErasureSummary,
    ModelImpact,
)
from client.answers.overview import Overview
from client.answers.runs import Recheck, RecheckSummary, Run, RunPlots, RunSummary
from client.problems import LotusProblem
from client.transport import API, Transport, polls

REQUESTS = f"{API}/erasure-requests"
CERTIFICATE_SECONDS = 0.5


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


class _Consistency(Answer):
    hashes: list[str]


def filters(
    *,
    state: str | Sequence[str] | None = None,
    due_before: datetime | None = None,
    overdue: bool | None = None,
    model: str | None = None,
    updated_since: datetime | None = None,
    external_id: str | None = None,
    regulation: str | None = None,
) -> dict[str, str | Sequence[str] | None]:
    """The query that lets the same requests through in a list and in an export."""
    return {
        "state": state,
        "due_before": None if due_before is None else due_before.isoformat(),
        "overdue": None if overdue is None else str(overdue).lower(),
        "model": model,
        "updated_since": None if updated_since is None else updated_since.isoformat(),
        "external_id": external_id,
        "regulation": regulation,
    }


class ErasureCalls(Transport):
    def overview(self) -> Overview:
        """Everything at a glance; made once a second at most."""
        return self.get(f"{API}/overview", Overview)

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
        """Accepts a request. An answer that is lost is asked for again. With the same
        `idempotency_key` or `external_id` and the same content another call, even of another
        process, is answered with the same request."""
        body = {
            "external_id": external_id,
            "subjects": [one.body() for one in subjects],
            "regulation": regulation,
            "legal_ground": legal_ground,
            "submitted_at": submitted_at and submitted_at.isoformat(),
            "models": models and list(models),
            "callback_urls": callback_urls and list(callback_urls),
        }
        return self.create(REQUESTS, Erasure, body, idempotency_key=idempotency_key)

    def get_request(self, request: str) -> Erasure:
        return self.get(f"{REQUESTS}/{request}", Erasure)

    def list_requests(
        self,
        *,
        state: str | Sequence[str] | None = None,
        due_before: datetime | None = None,
        overdue: bool | None = None,
        model: str | None = None,
        updated_since: datetime | None = None,
        external_id: str | None = None,
        regulation: str | None = None,
        limit: int | None = None,
    ) -> Iterator[ErasureSummary]:
        """All requests that fit: newest first, but by due date with `due_before` or `overdue`, else
        by change with `updated_since`. `limit` is the size of a page, not of the list."""
        wanted = filters(
            state=state,
            due_before=due_before,
            overdue=overdue,
            model=model,
            updated_since=updated_since,
            external_id=external_id,
            regulation=regulation,
        )
        return self.pages(REQUESTS, ErasureSummary, {**wanted, "limit": limit})

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

    def get_certificate(self, identity: str, *, timeout: float = 0.0) -> bytes:
        """The bundle of a certificate (`crt_...`), or of the newest one of a request: exactly the
        bytes that a verifier takes. One that is not signed yet is waited for up to `timeout`
        seconds; then the problem `certificate-pending` is raised."""
        of_request = identity.startswith("req_")
        path = (
            f"{REQUESTS}/{identity}/certificate" if of_request else f"{API}/certificates/{identity}"
        )
        end = time.monotonic() + timeout
        while True:
            try:
                return self.get_bytes(path)
            except LotusProblem as problem:
                if problem.code != "certificate-pending" or time.monotonic() >= end:
                    raise
            time.sleep(CERTIFICATE_SECONDS)

    def list_certificates(self, request: str) -> Iterator[Certificate]:
        """All certificates of a request, oldest first."""
        return self.pages(f"{REQUESTS}/{request}/certificates", Certificate)

    def case_recipients(self, request: str) -> CaseRecipients:
        """Who pulled weights that were trained on the person's samples."""
        return self.get(f"{REQUESTS}/{request}/recipients", CaseRecipients)

    def approve(self, request: str) -> Erasure:
        return self.send("POST", f"{REQUESTS}/{request}/approve", Erasure)

    def refuse(self, request: str, reason_code: str, *, note: str | None = None) -> Erasure:
        """Ends the whole request. `note` is for your own people; name no person in it."""
        body = {"reason_code": reason_code, "note": note}
        return self.send("POST", f"{REQUESTS}/{request}/refuse", Erasure, body)

    def hold(
        self,
        request: str,
        reason: str,
        *,
        until: datetime | None = None,
        note: str | None = None,
    ) -> Erasure:
        """`reason` is `identity_question`, `restriction`, `legal_hold` or `internal_review`. The
        first stops the legal clock where the law says so."""
        body = {"reason": reason, "until": until and until.isoformat(), "note": note}
        return self.send("POST", f"{REQUESTS}/{request}/hold", Erasure, body)

    def resume(self, request: str) -> Erasure:
        return self.send("POST", f"{REQUESTS}/{request}/resume", Erasure)

    def extend(
        self,
        request: str,
        reason: str,
        *,
        notified_at: datetime,
        evidence_sha256: str | None = None,
    ) -> Erasure:
        """`reason` is `complexity` or `number_of_requests`; `notified_at` is when the person was
        told, and `evidence_sha256` of the letter."""
        body = {
            "reason": reason,
            "notified_at": notified_at.isoformat(),
            "evidence_sha256": evidence_sha256,
        }
        return self.send("POST", f"{REQUESTS}/{request}/extend", Erasure, body)

    def get_run(self, run: str) -> Run:
        return self.get(f"{API}/runs/{run}", Run)

    def get_plots(self, run: str) -> RunPlots:
        """What can be drawn of a verified run. The problem `no-plots` before the verdict, and once
        a case of the run was closed."""
        return self.get(f"{API}/runs/{run}/plots", RunPlots)

    def list_runs(
        self, *, model: str | None = None, state: str | None = None
    ) -> Iterator[RunSummary]:
        return self.pages(f"{API}/runs", RunSummary, {"model": model, "state": state})

    def get_recheck(self, recheck: str) -> Recheck:
        return self.get(f"{API}/rechecks/{recheck}", Recheck)

    def list_rechecks(self, model: str) -> Iterator[RecheckSummary]:
        """Of a model's completed cases, newest first."""
        return self.pages(f"{API}/models/{model}/rechecks", RecheckSummary)

    def audit_entries(
        self, *, request: str | None = None, order: str | None = None
    ) -> Iterator[AuditEntry]:
        """The log in its own order, or one request's part of it. `order` "newest": the last entry
        first, without those that have no place in the log yet."""
        query = {"request": request, "order": order}
        return self.pages(f"{API}/audit/entries", AuditEntry, query)

    def audit_head(self) -> AuditHead:
        return self.get(f"{API}/audit/head", AuditHead)

    def signing_keys(self) -> Iterator[SigningKey]:
        """Oldest first. A key that reaches a verifier another way is worth more."""
        return self.pages(f"{API}/signing-keys", SigningKey)

    def audit_checkpoint(self) -> str:
        """The newest signed head of the log, as the text of a C2SP checkpoint: keep it."""
        return self.get_text(f"{API}/audit/checkpoint")

    def audit_consistency(self, old: int, new: int) -> list[str]:
        """Hashes, in hexadecimal, that prove the tree of `old` entries to be the beginning of that
        of `new`."""
        found = self.get(f"{API}/audit/proof/consistency", _Consistency, {"old": old, "new": new})
        return found.hashes
