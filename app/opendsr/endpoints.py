"""`/opendsr`: erasure requests in the protocol that compliance systems speak already.

Every operation exists twice, for OpenDSR 2.0 and for the OpenGDPR 1.0 that came before.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response, status
from pydantic import BaseModel

from app import bell
from app.canonical import canonical_json
from app.erasure.tables import ErasureRequest
from app.http.idempotency import RawBody
from app.http.problems import MEDIA_TYPE, NotFound
from app.http.sessions import CurrentRuntime, Now, ReadSession, WriteSession
from app.identities import IdentityFormat
from app.keys.auth import Caller
from app.keys.scopes import Scope
from app.opendsr import answers, reading, service
from app.opendsr.auth import require
from app.opendsr.schemas import (
    CancellationReceipt,
    DataSubjectRequest,
    Discovery,
    ErrorAnswer,
    Receipt,
    RequestType,
    Status,
    SupportedIdentity,
)
from app.opendsr.speaking import require_seal
from app.opendsr.versions import PREFIX, V1, V2, Version, spoken_on

# The identity types of the specification.
IDENTITY_TYPES = (
    "controller_customer_id",
    "android_advertising_id",
    "android_id",
    "email",
    "fire_advertising_id",
    "ios_advertising_id",
    "ios_vendor_id",
    "microsoft_advertising_id",
    "microsoft_publisher_id",
    "roku_publisher_id",
    "roku_advertising_id",
)
CERTIFICATES = f"{PREFIX}/certificates"


def _spoken(request: Request) -> Version:
    version = spoken_on(request.scope["path"])
    assert version is not None
    return version


Spoken = Annotated[Version, Depends(_spoken)]
Reader = Annotated[Caller, Depends(require(Scope.REQUESTS_READ))]
Writer = Annotated[Caller, Depends(require(Scope.REQUESTS_WRITE))]


class UnknownCertificate(NotFound):
    code = "unknown-certificate"
    title = "No such certificate"


def discover(request: Request, version: Spoken, runtime: CurrentRuntime) -> Response:
    """What is supported, and where the certificate is that answers and callbacks are signed by."""
    seal = require_seal(runtime.settings)
    base = runtime.settings.public_url or str(request.base_url).rstrip("/")
    return _json(
        Discovery(
            api_version=version.api_version,
            supported_identities=[
                SupportedIdentity(identity_type=kind, identity_format=form)
                for kind in IDENTITY_TYPES
                for form in IdentityFormat
            ],
            supported_subject_request_types=list(RequestType),
            processor_certificate=f"{base}{CERTIFICATES}/{seal.certificate.fingerprint}.pem",
        )
    )


def submit(
    request: Request,
    raw: RawBody,
    version: Spoken,
    caller: Writer,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
) -> Response:
    """Accepts an erasure request. The same body again is answered with the same bytes; another body
    under the same id is a conflict."""
    headers = request.headers
    reading.check_media_type(headers.get("content-type"), headers.get("content-encoding"))
    seal = require_seal(runtime.settings)
    asked, extension = reading.read(raw, version, seal.domain)
    submission = service.submission_of(
        asked,
        extension,
        caller,
        version,
        seal,
        runtime.settings,
        digest=runtime.keyring.digest("opendsr-body", caller.controller_id.bytes + raw),
        now=now,
    )
    if extension.dry_run:
        return _json(
            service.rehearse(session, runtime.keyring, submission, asked, raw, seal, now=now)
        )
    row = service.accept(session, runtime.keyring, submission, now=now)
    bell.ring_after_commit(session, runtime.settings)
    return _json(answers.receipt(row, service.encoded(raw)), status.HTTP_201_CREATED)


def show(
    subject_request_id: str,
    version: Spoken,
    caller: Reader,
    session: ReadSession,
    runtime: CurrentRuntime,
) -> Response:
    """How far a request is. A failed or refused one reads as in progress, and the extension says
    what it is."""
    require_seal(runtime.settings)
    row = service.find(session, caller, subject_request_id)
    case = session.get_one(ErasureRequest, row.request_id)
    return _json(answers.status(session, row, case, service.answered_as(row, version)))


def cancel(
    subject_request_id: str,
    version: Spoken,
    caller: Writer,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
) -> Response:
    """Cancels a request that is pending. A repeat is answered alike."""
    require_seal(runtime.settings)
    row = service.find(session, caller, subject_request_id)
    case = service.cancel(session, runtime.keyring, row, actor=caller.actor, now=now)
    bell.ring_after_commit(session, runtime.settings)
    answer = answers.cancellation(row, case, service.answered_as(row, version))
    return _json(answer, status.HTTP_202_ACCEPTED)


def get_certificate(fingerprint: str, runtime: CurrentRuntime) -> Response:
    """A certificate that answers and callbacks are or were signed by: PEM, the leaf first."""
    found = require_seal(runtime.settings).served.get(fingerprint)
    if found is None:
        raise UnknownCertificate("There is no certificate with this fingerprint.")
    return Response(found.pem, media_type="application/x-pem-file")


def _json(answer: BaseModel, code: int = status.HTTP_200_OK) -> Response:
    """The bytes that are signed and sent."""
    content = canonical_json(answer.model_dump(mode="json"))
    return Response(content, status_code=code, media_type=reading.JSON_TYPE)


_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer, "description": "A refusal, in the protocol's own form"},
    "5XX": {"model": ErrorAnswer, "description": "The service cannot answer"},
}
_PEM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-pem-file": {}}, "description": "The certificate"},
    404: {
        "description": "There is none with this SHA-256",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    },
}


def _inlined(part: Any, definitions: dict[str, Any]) -> Any:
    """A schema without references, which stand where a description cannot follow them."""
    if isinstance(part, dict):
        if "$ref" in part:
            return _inlined(definitions[part["$ref"].rpartition("/")[2]], definitions)
        return {key: _inlined(value, definitions) for key, value in part.items() if key != "$defs"}
    return [_inlined(one, definitions) for one in part] if isinstance(part, list) else part


def _body(version: Version) -> dict[str, Any]:
    schema = DataSubjectRequest.model_json_schema()
    if version is V2:
        schema["required"].append("regulation")
        (schema["properties"]["regulation"],) = [
            one for one in schema["properties"]["regulation"]["anyOf"] if one != {"type": "null"}
        ]
    content = {reading.JSON_TYPE: {"schema": _inlined(schema, schema.get("$defs", {}))}}
    return {"requestBody": {"required": True, "content": content}}


def _router() -> APIRouter:
    router = APIRouter(tags=["OpenDSR"])
    for version, suffix in ((V2, ""), (V1, "_v1")):
        one = f"{version.requests}/{{subject_request_id}}"
        of_version = APIRouter(prefix=version.prefix, responses=_ERRORS)
        add = of_version.add_api_route
        add("/discovery", discover, name=f"opendsr_discover{suffix}", response_model=Discovery)
        add(
            version.requests,
            submit,
            methods=["POST"],
            status_code=status.HTTP_201_CREATED,
            name=f"opendsr_submit{suffix}",
            response_model=Receipt,
            openapi_extra=_body(version),
        )
        add(one, show, name=f"opendsr_show{suffix}", response_model=Status)
        add(
            "/status/{subject_request_id}",
            show,
            name=f"opendsr_show_status{suffix}",
            response_model=Status,
        )
        add(
            one,
            cancel,
            methods=["DELETE"],
            status_code=status.HTTP_202_ACCEPTED,
            name=f"opendsr_cancel{suffix}",
            response_model=CancellationReceipt,
        )
        router.include_router(of_version)
    router.add_api_route(
        f"{CERTIFICATES}/{{fingerprint}}.pem",
        get_certificate,
        name="opendsr_certificate",
        response_class=Response,
        responses=_PEM,
    )
    return router


router = _router()
