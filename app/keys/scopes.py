"""What a key may do."""

from enum import StrEnum


class Scope(StrEnum):
    REQUESTS_WRITE = "requests:write"
    REQUESTS_READ = "requests:read"
    REQUESTS_DECIDE = "requests:decide"
    REGISTRY_WRITE = "registry:write"
    REGISTRY_READ = "registry:read"
    ARTIFACTS_READ = "artifacts:read"
    AUDIT_READ = "audit:read"
    WEBHOOKS_ADMIN = "webhooks:admin"
    METRICS_READ = "metrics:read"
    KEYS_ADMIN = "keys:admin"


ALL_SCOPES = tuple(Scope)
