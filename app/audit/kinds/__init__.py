"""What the log can say: one kind per event, and one body for each.

Bodies hold ids, codes, times, numbers and digests only. A subject reference, an external id or a
text that somebody typed has no field to stand in, and the patterns refuse it in the others.
"""

from collections.abc import Mapping

from app.audit.kinds.base import (
    OPERATOR,
    SERVICE,
    Actor,
    Facts,
    Kind,
    ScopeName,
    WorkerName,
    key_actor,
    worker_actor,
)
from app.audit.kinds.erasure import (
    CandidateKept,
    ItemMoved,
    ModelPaused,
    ModelResumed,
    RequestClosed,
    RequestMoved,
    RequestReceived,
    RunFormed,
    RunMoved,
    VersionDestroyed,
    VersionPublished,
    VersionRestored,
)
from app.audit.kinds.evidence import CertificateWritten
from app.audit.kinds.keys import KeyCreated
from app.audit.kinds.registry import (
    DatasetInvalid,
    DatasetReady,
    DatasetRegistered,
    ModelInvalid,
    ModelReady,
    ModelRegistered,
    PolicyChanged,
    ShardRewritten,
    VersionInvalid,
    VersionReady,
    VersionRegistered,
)
from app.audit.kinds.service import ArtifactDestroyed, ServicePaused, ServiceResumed
from app.audit.kinds.webhooks import (
    WebhookCreated,
    WebhookDead,
    WebhookDisabled,
    WebhookEnabled,
    WebhookRemoved,
    WebhookSecretRotated,
)

__all__ = [
    "BODIES",
    "OPERATOR",
    "SERVICE",
    "Actor",
    "ArtifactDestroyed",
    "CandidateKept",
    "CertificateWritten",
    "DatasetInvalid",
    "DatasetReady",
    "DatasetRegistered",
    "Facts",
    "ItemMoved",
    "KeyCreated",
    "Kind",
    "ModelInvalid",
    "ModelPaused",
    "ModelReady",
    "ModelRegistered",
    "ModelResumed",
    "PolicyChanged",
    "RequestClosed",
    "RequestMoved",
    "RequestReceived",
    "RunFormed",
    "RunMoved",
    "ScopeName",
    "ServicePaused",
    "ServiceResumed",
    "ShardRewritten",
    "VersionDestroyed",
    "VersionInvalid",
    "VersionPublished",
    "VersionReady",
    "VersionRegistered",
    "VersionRestored",
    "WebhookCreated",
    "WebhookDead",
    "WebhookDisabled",
    "WebhookEnabled",
    "WebhookRemoved",
    "WebhookSecretRotated",
    "WorkerName",
    "key_actor",
    "worker_actor",
]

BODIES: Mapping[Kind, type[Facts]] = {body.kind: body for body in Facts.__subclasses__()}
