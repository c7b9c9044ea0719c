"""Bodies of what the service does as a whole: pauses, and the files it destroys."""

from app.audit.kinds.base import Actor, Facts, Kind
from app.canonical import Code, Count, Sha256
from app.ids import ControllerId


class ArtifactDestroyed(Facts):
    """`controller` is empty for bytes that never belonged to a registration."""

    kind = Kind.ARTIFACT_DESTROYED
    controller: ControllerId | None = None
    sha256: Sha256
    reason: Code


class ServicePaused(Facts):
    """The database came from a backup: it has `log_size` entries, where the mark knew of more or of
    others."""

    kind = Kind.SERVICE_PAUSED
    reason: Code
    mark_size: Count | None
    log_size: Count
    actor: Actor


class ServiceResumed(Facts):
    kind = Kind.SERVICE_RESUMED
    reason: Code
    actor: Actor
