"""Typed client of the erasure service.

with LotusClient("http://127.0.0.1:8080", key) as lotus:
    request = lotus.submit_erasure([Subject("customer-0042")])
    for now in lotus.watch(request.id):
        print(now.state)
"""

from client.answers import (
    Artifact,
    AuditEntry,
    AuditHead,
    Certificate,
    CurrentVersion,
    Dataset,
    Delivery,
    Erasure,
    ErasureItem,
    ErasureSummary,
    Model,
    ModelImpact,
    NewWebhook,
    Pause,
    Run,
    RunSummary,
    Version,
    Webhook,
)
from client.erasures import ErasureCalls, Subject
from client.problems import (
    DigestMismatch,
    FieldFault,
    LotusError,
    LotusProblem,
    LotusUnreachable,
    RegistrationInvalid,
    TookTooLong,
    UnexpectedAnswer,
)
from client.registry import RegistryCalls
from client.webhooks import WebhookCalls


class LotusClient(RegistryCalls, ErasureCalls, WebhookCalls):
    """Every call of the service's native API."""


__all__ = [
    "Artifact",
    "AuditEntry",
    "AuditHead",
    "Certificate",
    "CurrentVersion",
    "Dataset",
    "Delivery",
    "DigestMismatch",
    "Erasure",
    "ErasureItem",
    "ErasureSummary",
    "FieldFault",
    "LotusClient",
    "LotusError",
    "LotusProblem",
    "LotusUnreachable",
    "Model",
    "ModelImpact",
    "NewWebhook",
    "Pause",
    "RegistrationInvalid",
    "Run",
    "RunSummary",
    "Subject",
    "TookTooLong",
    "UnexpectedAnswer",
    "Version",
    "Webhook",
]
