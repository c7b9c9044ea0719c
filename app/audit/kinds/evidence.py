"""Bodies of what is said about cases to the outside."""

from app.audit.kinds.base import Facts, Kind
from app.canonical import Sha256
from app.ids import CertificateId, ControllerId, RequestId


class CertificateWritten(Facts):
    kind = Kind.CERTIFICATE_WRITTEN
    controller: ControllerId
    certificate: CertificateId
    request: RequestId
    payload_sha256: Sha256
    replaces: CertificateId | None = None
