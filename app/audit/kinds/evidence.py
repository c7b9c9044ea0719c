"""Bodies of what is said about cases to the outside."""

from app.audit.kinds.base import Actor, Facts, Kind
from app.canonical import Code, Count, Sha256
from app.ids import CertificateId, ControllerId, ExportId, RequestId


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


class ExportBegun(Facts):
    """Of requests as a file. `filter_digest` is keyed: a case number could be guessed."""

    kind = Kind.EXPORT_BEGUN
    controller: ControllerId
    export: ExportId
    actor: Actor
    form: Code
    filter_digest: Sha256


class ExportEnded(Facts):
    """`complete`: the whole file was given out; otherwise these rows at most."""

    kind = Kind.EXPORT_ENDED
    controller: ControllerId
    export: ExportId
    actor: Actor
    rows: Count
    complete: bool
