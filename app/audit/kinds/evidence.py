"""Bodies of what is said about cases to the outside."""

from app.audit.kinds.base import Actor, Facts, Kind
from app.canonical import Sha256
from app.ids import CertificateId, ControllerId, RequestId


class CertificateWritten(Facts):
    kind = Kind.CERTIFICATE_WRITTEN
    controller: ControllerId
    certificate: CertificateId
    request: RequestId
    payload_sha256: Sha256
    replaces: CertificateId | None = None


class CertificateRead(Facts):
    """At most once a day for each key and certificate."""

    kind = Kind.CERTIFICATE_READ
    controller: ControllerId
    certificate: CertificateId
    request: RequestId
    actor: Actor
