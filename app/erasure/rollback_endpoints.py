"""`/models/{id}/rollback`: take versions of a model back, and see when it was done."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import bell
from app.erasure import rollback
from app.erasure.closing_tables import Rollback
from app.erasure.rollback import Wanted
from app.http.idempotency import KeyHeader, Once, RawBody
from app.http.pages import DEFAULT_LIMIT, Cursor, Limit, Page, newest_first
from app.http.sessions import CurrentRuntime, Now, ReadSession, WriteSession
from app.http.text import NOT_BLANK, ONE_LINE
from app.ids import ModelId, VersionId
from app.keys.auth import Caller, require
from app.keys.scopes import Scope
from app.registry import lookup
from app.registry.schemas import CurrentVersion
from app.registry.tables import ModelVersion

router = APIRouter(prefix="/models", tags=["models"])

Decider = Annotated[Caller, Depends(require(Scope.REQUESTS_DECIDE))]
Reader = Annotated[Caller, Depends(require(Scope.REGISTRY_READ))]


class RollBack(BaseModel):
    # Nothing of an input may appear in an error message.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    version: Annotated[
        VersionId | None,
        Field(
            description="The version that becomes current again. Default: the parent of the "
            "current one; then send an `Idempotency-Key`, since every call goes one further back."
        ),
    ] = None
    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True),
        Field(
            min_length=1,
            max_length=500,
            pattern=ONE_LINE,
            json_schema_extra=NOT_BLANK,
            description="For your own people. Name no person in it.",
        ),
    ]


class RollbackView(BaseModel):
    model: ModelId
    from_version: CurrentVersion
    to_version: CurrentVersion
    taken_back: Annotated[list[int], Field(description="Numbers of the versions taken back.")]
    reopened: Annotated[int, Field(description="Requests whose samples are unlearned once more.")]
    reason: str
    created_at: datetime


@router.post("/{model}/rollback")
def roll_back(
    model: ModelId,
    body: RollBack,
    raw: RawBody,
    caller: Decider,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    key: KeyHeader = None,
) -> RollbackView:
    """Makes an earlier version current again, within the policy's `rollback_days`. Requests that
    rested on a later one are reopened and unlearned once more. Naming the version that the last
    rollback made current changes nothing."""
    owner = caller.controller_id
    lookup.get_model(session, model, controller=owner)
    once = Once(runtime.keyring, owner, "rollback-body", model.bytes + raw, key, now=now)
    if known := once.earlier(session):
        return _view(session, session.get_one(Rollback, known))
    done = rollback.roll_back(
        session,
        runtime.keyring,
        runtime.artifacts,
        Wanted(model, body.version, body.reason),
        controller=owner,
        actor=caller.actor,
        now=now,
    )
    once.created(session, done.id)
    bell.ring_after_commit(session, runtime.settings)
    return _view(session, done)


@router.get("/{model}/rollbacks")
def list_rollbacks(
    model: ModelId,
    caller: Reader,
    session: ReadSession,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[RollbackView]:
    """Which versions of a model were taken back, why and when, newest first."""
    lookup.get_model(session, model, controller=caller.controller_id)
    query = select(Rollback).where(Rollback.model_id == model)
    rows, following = newest_first(session, query, Rollback.id, cursor, limit)
    return Page(items=[_view(session, row) for row in rows], next_cursor=following)


def _view(session: Session, row: Rollback) -> RollbackView:
    return RollbackView(
        model=row.model_id,
        from_version=_version(session, row.from_version_id),
        to_version=_version(session, row.to_version_id),
        taken_back=row.taken_back,
        reopened=row.reopened,
        reason=row.reason,
        created_at=row.created_at,
    )


def _version(session: Session, identity: UUID) -> CurrentVersion:
    version = session.get_one(ModelVersion, identity)
    return CurrentVersion(id=version.id, number=version.number, sha256=version.artifact_sha256)
