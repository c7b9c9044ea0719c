"""Certificates for their readers: the bundle that can be checked offline, and the list of a case's.

The certificates of a case follow each other: the newest holds, and the others can still be read.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.kinds import CertificateRead
from app.certificates import reading, service
from app.certificates.tables import Certificate, CertificateState
from app.erasure import lookup, views
from app.erasure.schemas import CertificateView
from app.erasure.states import OPEN_REQUEST
from app.erasure.tables import ErasureRequest
from app.http.pages import Page
from app.http.problems import Conflict, NotFound
from app.http.sessions import CurrentRuntime, Now, ReadSession
from app.ids import CertificateId, RequestId, certificate_id, controller_id, request_id
from app.keys.auth import Caller, require
from app.keys.scopes import Scope
from app.runtime import Runtime

router = APIRouter(tags=["certificates"])

Reader = Annotated[Caller, Depends(require(Scope.REQUESTS_READ))]
# A reading is entered in the log before the answer. Waiting long for the database's turn would
# hold a thread that whoever has the turn may need.
WAIT_SECONDS = 2.0
# A checkpoint follows on a certificate within seconds.
SIGNED_SOON = {"Retry-After": "5"}
# Of a case that still waits for a run or a person.
LATER = {"Retry-After": "60"}
_BUNDLE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bundle, always the same bytes for the same certificate",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["envelope", "entry", "proof"],
                    "properties": {
                        "envelope": {
                            "type": "object",
                            "description": "DSSE over an in-toto Statement.",
                            "required": ["payload", "payloadType", "signatures"],
                        },
                        "entry": {
                            "type": "string",
                            "description": "Base64 of the audit log's entry that holds the "
                            "SHA-256 of the payload.",
                        },
                        "proof": {
                            "type": "string",
                            "description": "C2SP tlog-proof: where the entry stands, and under "
                            "which checkpoint.",
                        },
                    },
                }
            }
        },
    }
}


class UnknownCertificate(NotFound):
    code = "unknown-certificate"
    title = "No such certificate"


class CertificatePending(Conflict):
    code = "certificate-pending"
    title = "The certificate is not signed yet"


class NoCertificate(Conflict):
    code = "no-certificate"
    title = "The request has no certificate"


class Bundle(Response):
    media_type = "application/json"


@router.get(
    "/erasure-requests/{id}/certificate",
    response_class=Bundle,
    responses=_BUNDLE,
)
def get_request_certificate(
    id: RequestId, caller: Reader, runtime: CurrentRuntime, now: Now
) -> Bundle:
    """The newest certificate of a request, as a bundle that `lotus verify` checks offline. Each
    key's first reading of a day is entered in the audit log."""
    with runtime.database.read() as session:
        request = lookup.get_request(session, id, controller=caller.controller_id)
        newest = service.newest(session, id)
        if newest is None:
            raise NoCertificate(
                "One is written when the request completes or is refused. A request that is "
                "cancelled gets none.",
                headers=LATER if request.state in OPEN_REQUEST else None,
            )
        answer, noted = _bundle(session, caller, newest, now)
    return _handed_out(runtime, caller, newest, answer, noted, now)


@router.get("/erasure-requests/{id}/certificates")
def list_request_certificates(
    id: RequestId, caller: Reader, session: ReadSession
) -> Page[CertificateView]:
    """All of them on one page, oldest first. Each names the one that it replaces."""
    lookup.get_request(session, id, controller=caller.controller_id)
    rows = session.scalars(
        select(Certificate).where(Certificate.request_id == id).order_by(Certificate.id)
    )
    return Page(items=[views.certificate(row) for row in rows], next_cursor=None)


@router.get(
    "/certificates/{id}",
    response_class=Bundle,
    responses=_BUNDLE,
)
def get_certificate(id: CertificateId, caller: Reader, runtime: CurrentRuntime, now: Now) -> Bundle:
    """Any certificate, also one that a newer one replaces."""
    with runtime.database.read() as session:
        certificate = session.scalar(
            select(Certificate)
            .join(ErasureRequest, ErasureRequest.id == Certificate.request_id)
            .where(Certificate.id == id, ErasureRequest.controller_id == caller.controller_id)
        )
        if certificate is None:
            raise UnknownCertificate("There is no such certificate, or it is not yours.")
        answer, noted = _bundle(session, caller, certificate, now)
    return _handed_out(runtime, caller, certificate, answer, noted, now)


def _bundle(
    session: Session, caller: Caller, certificate: Certificate, now: Now
) -> tuple[bytes, bool]:
    """The bundle, and whether this key's reading of today is in the log already."""
    if certificate.state is not CertificateState.ISSUED:
        raise CertificatePending(
            "It is signed as soon as its entry of the audit log stands under a checkpoint. An "
            "earlier one of the same request can be read by its own id.",
            headers=SIGNED_SOON,
        )
    noted = reading.is_noted(session, certificate.id, caller.key_id, now=now)
    return reading.bundle(session, certificate.id), noted


def _handed_out(
    runtime: Runtime, caller: Caller, certificate: Certificate, answer: bytes, noted: bool, now: Now
) -> Bundle:
    if not noted:
        read = CertificateRead(
            controller=controller_id(caller.controller_id),
            certificate=certificate_id(certificate.id),
            request=request_id(certificate.request_id),
            actor=caller.actor,
        )
        with runtime.database.write(wait=WAIT_SECONDS) as session:
            reading.note(session, read, caller.key_id, now=now)
    return Bundle(answer)
