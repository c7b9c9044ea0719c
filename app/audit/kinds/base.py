"""Every kind of event, `source:subject:action`, and what the bodies of all kinds share.

Bodies hold ids, codes, times, numbers and digests only. A subject reference, an external id or a
text that somebody typed has no field to stand in, and the patterns refuse it in the others.
"""

from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.ids import api_key_id


class Kind(StrEnum):
    REQUEST_RECEIVED = "erasure:request:received"
    REQUEST_MOVED = "erasure:request:moved"
    ITEM_MOVED = "erasure:item:moved"
    RUN_FORMED = "erasure:run:formed"
    RUN_MOVED = "erasure:run:moved"
    VERSION_PUBLISHED = "erasure:version:published"
    VERSION_RESTORED = "erasure:version:restored"
    VERSION_DESTROYED = "erasure:version:destroyed"
    REQUEST_CLOSED = "erasure:request:closed"
    CANDIDATE_KEPT = "erasure:candidate:kept"
    MODEL_PAUSED = "erasure:model:paused"
    MODEL_RESUMED = "erasure:model:resumed"
    REQUEST_DECIDED = "erasure:request:decided"
    DEADLINE_PAUSED = "erasure:deadline:paused"
    DEADLINE_RESUMED = "erasure:deadline:resumed"
    DEADLINE_EXTENDED = "erasure:deadline:extended"
    DEADLINE_NEARED = "erasure:deadline:neared"
    SUPPRESSION_EXPIRED = "erasure:suppression:expired"
    SUPPRESSION_ENDED = "erasure:suppression:ended"
    LINKS_CUT = "erasure:links:cut"
    RECHECK_FINISHED = "erasure:recheck:finished"
    CASE_RELAPSED = "erasure:case:relapsed"
    RECHECK_MISSED = "erasure:recheck:missed"
    EXPORT_BEGUN = "erasure:export:begun"
    EXPORT_ENDED = "erasure:export:ended"
    DATASET_REGISTERED = "registry:dataset:registered"
    DATASET_READY = "registry:dataset:ready"
    DATASET_INVALID = "registry:dataset:invalid"
    MODEL_REGISTERED = "registry:model:registered"
    MODEL_READY = "registry:model:ready"
    MODEL_INVALID = "registry:model:invalid"
    VERSION_REGISTERED = "registry:version:registered"
    VERSION_READY = "registry:version:ready"
    VERSION_INVALID = "registry:version:invalid"
    VERSION_PULLED = "registry:version:pulled"
    POLICY_CHANGED = "registry:policy:changed"
    SHARD_REWRITTEN = "registry:shard:rewritten"
    ARTIFACT_DESTROYED = "storage:artifact:destroyed"
    CONTROLLER_CREATED = "keys:controller:created"
    JURISDICTION_CHANGED = "keys:jurisdiction:changed"
    KEY_CREATED = "keys:key:created"
    KEY_ROTATED = "keys:key:rotated"
    KEY_REVOKED = "keys:key:revoked"
    KEY_USED = "keys:key:used"
    LOGIN_REFUSED = "keys:login:refused"
    CERTIFICATE_WRITTEN = "certificates:certificate:written"
    CERTIFICATE_READ = "certificates:certificate:read"
    SERVICE_PAUSED = "restore:service:paused"
    SERVICE_RESUMED = "restore:service:resumed"
    SIGNING_KEY_ADOPTED = "audit:key:adopted"
    SIGNING_KEY_RETIRED = "audit:key:retired"
    LOG_REWOUND = "audit:log:rewound"
    REWIND_ACCEPTED = "audit:rewind:accepted"
    WEBHOOK_CREATED = "webhooks:endpoint:created"
    WEBHOOK_REMOVED = "webhooks:endpoint:removed"
    WEBHOOK_DISABLED = "webhooks:endpoint:disabled"
    WEBHOOK_ENABLED = "webhooks:endpoint:enabled"
    WEBHOOK_SECRET_ROTATED = "webhooks:secret:rotated"
    WEBHOOK_DEAD = "webhooks:delivery:dead"


# Who did it: an API key, a worker, the service by itself, or a person at the machine's own prompt.
SERVICE = "service"
OPERATOR = "operator"
Actor = Annotated[str, Field(pattern=r"^((key|worker)_[0-9a-f]{32}|service|operator)$")]
WorkerName = Annotated[str, Field(pattern=r"^worker_[0-9a-f]{32}$")]
# ISO 3166: whose public holidays a due date is reckoned with.
Place = Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]
ScopeName = Annotated[str, Field(pattern=r"^[a-z]+:[a-z]+$")]


def key_actor(key: UUID) -> str:
    return api_key_id(key)


def worker_actor(worker: UUID) -> str:
    return f"worker_{worker.hex}"


class Facts(BaseModel):
    """Body of one kind of entry. `controller`, `request` and `run` also fill the row's columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[Kind]
