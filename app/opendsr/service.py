"""Between the protocol and the service's own cases."""

import base64
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.erasure import cancelling, impact, intake, matching
from app.erasure.intake import ExternalIdTaken
from app.erasure.states import RequestState
from app.erasure.subjects import Identity
from app.erasure.submission import Submission
from app.erasure.tables import ErasureRequest, Regulation, RequestSubject
from app.http.problems import FieldError
from app.ids import controller_id, model_id
from app.keyring import Keyring
from app.keys.auth import Caller
from app.opendsr import answers
from app.opendsr.errors import (
    NotPending,
    NotYourRequest,
    RequestIdTaken,
    UnknownSubjectRequest,
)
from app.opendsr.schemas import (
    DataSubjectRequest,
    OwnExtension,
    Rehearsal,
    is_subject_request_id,
)
from app.opendsr.tables import OpenDsrRequest
from app.opendsr.versions import OLDEST, V1, Version, of
from app.webhooks import service as callbacks
from app.webhooks.addresses import RefusedUrl, read_url
from app.webhooks.service import CallbackUrlRefused

if TYPE_CHECKING:
    from app.opendsr.certificate import Seal


def submission_of(
    request: DataSubjectRequest,
    extension: OwnExtension,
    caller: Caller,
    version: Version,
    seal: "Seal",
    settings: Settings,
    *,
    digest: bytes,
    now: datetime,
) -> Submission:
    urls = _callback_urls(request.status_callback_urls, settings)

    def accompany(session: Session, case: ErasureRequest) -> None:
        session.add(
            OpenDsrRequest(
                request_id=case.id,
                controller_id=case.controller_id,
                subject_request_id=request.subject_request_id,
                api_version=_api_version(request, version),
                received_time=case.received_at,
                expected_completion_time=case.wanted_by or case.due_at,
                domain=seal.domain,
                public_url=settings.public_url,
            )
        )
        session.flush()
        callbacks.add_callbacks(session, case.id, version.dialect, urls, now=now)

    return Submission(
        controller=caller.controller_id,
        submitted_by=caller.key_id,
        actor=caller.actor,
        external_id=str(request.subject_request_id),
        identities=identities_of(request),
        regulation=request.regulation or Regulation.GDPR,
        legal_ground=extension.legal_ground,
        submitted_at=request.submitted_time,
        models=tuple(extension.models) if extension.models else None,
        callback_urls=(),
        body_digest=digest,
        sample_ids=tuple(dict.fromkeys(extension.sample_ids or ())),
        wanted_by=extension.deadline,
        accompany=accompany,
    )


def accept(
    session: Session, keyring: Keyring, submission: Submission, *, now: datetime
) -> OpenDsrRequest:
    """The row of a new request, or of the one that this repeats; another body is a conflict."""
    try:
        request = intake.submit(session, keyring, submission, now=now).request
    except ExternalIdTaken:
        raise _taken() from None
    row = session.get(OpenDsrRequest, request.id)
    if row is None:
        raise _taken()
    return row


def find(session: Session, caller: Caller, subject_request_id: str) -> OpenDsrRequest:
    """The caller's own. Of another controller's alone the protocol says that it is there."""
    if not is_subject_request_id(subject_request_id):
        raise _unknown()
    found = session.scalars(
        select(OpenDsrRequest).where(OpenDsrRequest.subject_request_id == UUID(subject_request_id))
    ).all()
    for row in found:
        if row.controller_id == caller.controller_id:
            return row
    if found:
        raise NotYourRequest("A request with this id exists, and it is not yours.")
    raise _unknown()


def cancel(
    session: Session, keyring: Keyring, row: OpenDsrRequest, *, actor: str, now: datetime
) -> ErasureRequest:
    """Only while the request reads as pending; a repeat changes nothing."""
    request = session.get_one(ErasureRequest, row.request_id)
    if request.state is not RequestState.CANCELLED:
        if answers.request_status(request, answers.items_of(session, request.id)) != "pending":
            raise NotPending("Only a request that is pending can be cancelled.")
        cancelling.cancel(session, keyring, request, actor=actor, now=now)
    return request


def rehearse(
    session: Session,
    keyring: Keyring,
    submission: Submission,
    request: DataSubjectRequest,
    body: bytes,
    seal: "Seal",
    *,
    now: datetime,
) -> Rehearsal:
    """Everything that the request would lead to, and then none of it: it is rolled back."""
    with session.begin_nested() as savepoint:
        tried = replace(submission, external_id=None, accompany=None)
        case = intake.submit(session, keyring, tried, now=now).request
        scope = matching.models_in_scope(session, case.controller_id, submission.models)
        refs = select(RequestSubject.subject_ref).where(RequestSubject.request_id == case.id)
        found = impact.of_references(session, scope, session.scalars(refs).all())
        answer = Rehearsal(
            controller_id=controller_id(case.controller_id),
            subject_request_id=str(request.subject_request_id),
            received_time=answers.time_text(now),
            expected_completion_time=answers.time_text(case.wanted_by or case.due_at),
            encoded_request=encoded(body),
            extensions={
                seal.domain: {
                    "dry_run": True,
                    "state": case.state,
                    "outcome": case.outcome,
                    "reason_code": case.reason_code,
                    "models": [
                        {
                            "id": model_id(one.model),
                            "forget_count": one.forget_count,
                            "held_out_count": one.held_out_count,
                            "estimated_seconds": one.estimated_seconds,
                            "enough_data": one.enough_data,
                        }
                        for one in found.models
                    ],
                }
            },
        )
        savepoint.rollback()
    return answer


def identities_of(request: DataSubjectRequest) -> tuple[Identity, ...]:
    return tuple(
        Identity(one.identity_type, one.identity_value, one.identity_format)
        for one in request.subject_identities
    )


def answered_as(row: OpenDsrRequest, version: Version) -> str:
    """The number that an answer on the path of `version` gives itself."""
    return row.api_version if of(row.api_version) is version else version.api_version


def encoded(body: bytes) -> str:
    """For the answer alone: it holds identities, and is neither stored nor logged."""
    return base64.b64encode(body).decode("ascii")


def _api_version(request: DataSubjectRequest, version: Version) -> str:
    """Old callers of the first version are answered in their own number."""
    if version is V1 and request.api_version == OLDEST:
        return OLDEST
    return version.api_version


def _callback_urls(urls: list[str], settings: Settings) -> list[str]:
    """By their form. What their names lead to is judged at each call."""
    named = []
    for position, url in enumerate(urls):
        try:
            named.append(read_url(url, http_loopback=settings.callbacks_http_loopback).url)
        except RefusedUrl as error:
            raise CallbackUrlRefused(
                "A callback URL cannot be used.",
                errors=[FieldError(field=f"callback_urls.{position}", message=str(error))],
            ) from None
    return named


def _unknown() -> UnknownSubjectRequest:
    return UnknownSubjectRequest("There is no request with this id.")


def _taken() -> RequestIdTaken:
    return RequestIdTaken(
        "A request with this subject_request_id exists, and its body differs or it did not come by "
        "OpenDSR."
    )
