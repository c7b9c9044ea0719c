"""Typed client of the erasure service.

with LotusClient("http://127.0.0.1:8080", key) as lotus:
    request = lotus.submit_erasure([Subject("customer-0042")])
    for now in lotus.watch(request.id):
        print(now.state)
"""

from client.answers.audit import AuditEntry, AuditHead, SigningKey
from client.answers.erasures import (
    Approval,
    BulkAnswer,
    BulkSummary,
    CaseRecipient,
    CaseRecipients,
    Certificate,
    Deadline,
    Decision,
    Erasure,
    ErasureItem,
    ErasureSummary,
    Hold,
    ModelImpact,
    PauseInterval,
    Wait,
)
from client.answers.keys import ApiKey, NewApiKey
from client.answers.overview import Overview
from client.answers.registry import (
    Artifact,
    CurrentVersion,
    Dataset,
    Model,
    Pause,
    Recipient,
    Version,
)
from client.answers.runs import LastRecheck, Recheck, RecheckSummary, Run, RunPlots, RunSummary
from client.answers.webhooks import Delivery, NewWebhook, Webhook
from client.erasures import ErasureCalls, Subject
from client.keys import KeyCalls
from client.problems import (
    BrokenOff,
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
from client.streams import StreamCalls
from client.webhooks import WebhookCalls


class LotusClient(RegistryCalls, ErasureCalls, StreamCalls, KeyCalls, WebhookCalls):
    """Every call of the service's native API."""


__all__ = [
    "ApiKey",
    "Approval",
    "Artifact",
    "AuditEntry",
    "AuditHead",
    "BrokenOff",
    "BulkAnswer",
    "BulkSummary",
    "CaseRecipient",
    "CaseRecipients",
    "Certificate",
    "CurrentVersion",
    "Dataset",
    "Deadline",
    "Decision",
    "Delivery",
    "DigestMismatch",
    "Erasure",
    "ErasureItem",
    "ErasureSummary",
    "FieldFault",
    "Hold",
    "LastRecheck",
    "LotusClient",
    "LotusError",
    "LotusProblem",
    "LotusUnreachable",
    "Model",
    "ModelImpact",
    "NewApiKey",
    "NewWebhook",
    "Overview",
    "Pause",
    "PauseInterval",
    "Recheck",
    "RecheckSummary",
    "Recipient",
    "RegistrationInvalid",
    "Run",
    "RunPlots",
    "RunSummary",
    "SigningKey",
    "Subject",
    "TookTooLong",
    "UnexpectedAnswer",
    "Version",
    "Wait",
    "Webhook",
]
