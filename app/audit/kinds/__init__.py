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
    DeadlineExtended,
    DeadlinePaused,
    DeadlineResumed,
    ItemMoved,
    LinksCut,
    ModelPaused,
    ModelResumed,
    RequestClosed,
    RequestDecided,
    RequestMoved,
    RequestReceived,
    RunFormed,
    RunMoved,
    SuppressionEnded,
    SuppressionExpired,
    VersionDestroyed,
    VersionPublished,
    VersionRestored,
)
from app.audit.kinds.evidence import CertificateRead, CertificateWritten
from app.audit.kinds.keys import KeyCreated, KeyRevoked, KeyRotated, KeyUsed, LoginRefused
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
    VersionPulled,
    VersionReady,
    VersionRegistered,
)
from app.audit.kinds.sealing import (
    LogRewound,
    RewindAccepted,
    SigningKeyAdopted,
    SigningKeyRetired,
)
from app.audit.kinds.service import ArtifactDestroyed, ServicePaused, ServiceResumed

__all__ = [
    "BODIES",
    "OPERATOR",
    "SERVICE",
    "Actor",
    "ArtifactDestroyed",
    "CandidateKept",
    "CertificateRead",
    "CertificateWritten",
    "DatasetInvalid",
    "DatasetReady",
    "DatasetRegistered",
    "DeadlineExtended",
    "DeadlinePaused",
    "DeadlineResumed",
    "Facts",
    "ItemMoved",
    "KeyCreated",
    "KeyRevoked",
    "KeyRotated",
    "KeyUsed",
    "Kind",
    "LinksCut",
    "LogRewound",
    "LoginRefused",
    "ModelInvalid",
    "ModelPaused",
    "ModelReady",
    "ModelRegistered",
    "ModelResumed",
    "PolicyChanged",
    "RequestClosed",
    "RequestDecided",
    "RequestMoved",
    "RequestReceived",
    "RewindAccepted",
    "RunFormed",
    "RunMoved",
    "ScopeName",
    "ServicePaused",
    "ServiceResumed",
    "ShardRewritten",
    "SigningKeyAdopted",
    "SigningKeyRetired",
    "SuppressionEnded",
    "SuppressionExpired",
    "VersionDestroyed",
    "VersionInvalid",
    "VersionPublished",
    "VersionPulled",
    "VersionReady",
    "VersionRegistered",
    "VersionRestored",
    "WorkerName",
    "key_actor",
    "worker_actor",
]

BODIES: Mapping[Kind, type[Facts]] = {body.kind: body for body in Facts.__subclasses__()}
