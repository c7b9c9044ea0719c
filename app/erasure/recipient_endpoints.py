"""`/erasure-requests/{id}/recipients`: whom the controller has to tell (GDPR Art. 19)."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from app.erasure import lookup, recipients
from app.http.sessions import ReadSession
from app.ids import ApiKeyId, ModelId, RequestId
from app.keys.auth import Caller, require
from app.keys.scopes import Scope

router = APIRouter(prefix="/erasure-requests", tags=["erasure requests"])

Reader = Annotated[Caller, Depends(require(Scope.REQUESTS_READ))]


class CaseRecipient(BaseModel):
    """A key with which weights of a model were pulled that were trained on the person's samples.
    `name` is what the key's holder is called."""

    model: ModelId
    model_name: str
    key: ApiKeyId
    name: str
    numbers: Annotated[list[int], Field(description="Of the versions that were pulled.")]
    first_at: datetime
    last_at: datetime
    renewed_at: Annotated[
        datetime | None,
        Field(
            description="When the holder last pulled weights that do not know the samples, if that "
            "was after the last pull of weights that do."
        ),
    ]


class CaseRecipients(BaseModel):
    items: list[CaseRecipient]
    complete: Annotated[
        bool,
        Field(description="False if a version was served before pulls were recorded."),
    ]


@router.get("/{id}/recipients")
def list_case_recipients(id: RequestId, caller: Reader, session: ReadSession) -> CaseRecipients:
    """Who pulled weights that were trained on this person's samples, and who of them has pulled
    newer ones since. Nobody for items that were cancelled or refused."""
    request = lookup.get_request(session, id, controller=caller.controller_id)
    found = recipients.of_case(session, request)
    return CaseRecipients(
        items=[CaseRecipient(**asdict(one)) for one in found.recipients], complete=found.complete
    )
