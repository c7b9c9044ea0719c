"""Datasets, models and their versions over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Response
from fastapi.responses import FileResponse
from sqlalchemy.orm import Session

from app.bell import ring_after_commit
from app.http.idempotency import KeyHeader, Once, RawBody
from app.http.pages import (
    DEFAULT_LIMIT,
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    newest_first,
)
from app.http.problems import Unavailable
from app.http.sessions import CurrentRuntime, Now, ReadSession, WriteSession
from app.ids import DatasetId, ModelId, dataset_id, model_id
from app.keys.auth import Caller, require
from app.keys.scopes import Scope
from app.registry import lookup, pulls, service, views
from app.registry.artifacts import SAFETENSORS
from app.registry.policy import Policy
from app.registry.pull_tables import VersionPull
from app.registry.schemas import (
    DatasetView,
    ModelView,
    RecipientView,
    RegisterDataset,
    RegisterModel,
    RegisterVersion,
    VersionDetail,
    VersionView,
)
from app.registry.tables import Dataset, Model, ModelVersion
from app.registry.uploads import router as uploads

datasets = APIRouter(prefix="/datasets", tags=["datasets"])
models = APIRouter(prefix="/models", tags=["models"])

Reader = Annotated[Caller, Depends(require(Scope.REGISTRY_READ))]
Writer = Annotated[Caller, Depends(require(Scope.REGISTRY_WRITE))]
Puller = Annotated[Caller, Depends(require(Scope.ARTIFACTS_READ))]
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="Versions of a model count from 1.")]


@datasets.post("", status_code=202)
def register_dataset(
    body: RegisterDataset,
    raw: RawBody,
    caller: Writer,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    response: Response,
    key: KeyHeader = None,
) -> DatasetView:
    """Accepts an uploaded manifest. A worker reads it: the dataset ends `ready` or `invalid`."""
    owner = caller.controller_id
    once = Once(runtime.keyring, owner, "dataset-body", owner.bytes + raw, key, now=now)
    if known := once.earlier(session):
        dataset = lookup.get_dataset(session, known, controller=owner)
    else:
        dataset = service.register_dataset(
            session,
            runtime.artifacts,
            body,
            controller=owner,
            actor=caller.actor,
            now=now,
        )
        once.created(session, dataset.id)
        ring_after_commit(session, runtime.settings)
    response.headers["Location"] = f"/api/v1/datasets/{dataset_id(dataset.id)}"
    return views.dataset(dataset)


@datasets.get("")
def list_datasets(
    caller: Reader, session: ReadSession, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[DatasetView]:
    """Newest first, those that are checked or invalid included."""
    query = lookup.datasets_of(caller.controller_id)
    rows, following = newest_first(session, query, Dataset.id, cursor, limit)
    return Page(items=[views.dataset(row) for row in rows], next_cursor=following)


@datasets.get("/{dataset}")
def get_dataset(dataset: DatasetId, caller: Reader, session: ReadSession) -> DatasetView:
    """Its state, what its rows hold and, if it is `invalid`, the `problem` that was found."""
    return views.dataset(lookup.get_dataset(session, dataset, controller=caller.controller_id))


@models.post("", status_code=202)
def register_model(
    body: RegisterModel,
    raw: RawBody,
    caller: Writer,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    response: Response,
    key: KeyHeader = None,
) -> ModelView:
    """Accepts uploaded weights. A worker reads them: the model ends `ready` or `invalid`."""
    owner = caller.controller_id
    once = Once(runtime.keyring, owner, "model-body", owner.bytes + raw, key, now=now)
    if (made := once.earlier(session)) is None:
        model, _ = service.register_model(
            session,
            runtime.artifacts,
            body,
            controller=owner,
            actor=caller.actor,
            now=now,
        )
        made = model.id
        once.created(session, made)
        ring_after_commit(session, runtime.settings)
    response.headers["Location"] = f"/api/v1/models/{model_id(made)}"
    return _model_view(session, made, caller)


@models.get("")
def list_models(
    caller: Reader, session: ReadSession, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[ModelView]:
    """Newest first, each with its policy and the version that it serves at present."""
    query = lookup.models_of(caller.controller_id)
    rows, following = newest_first(session, query, Model.id, cursor, limit)
    current = lookup.current_versions(session, [row.id for row in rows])
    return Page(
        items=[views.model(row, current.get(row.id)) for row in rows],
        next_cursor=following,
    )


@models.get("/{model}")
def get_model(model: ModelId, caller: Reader, session: ReadSession) -> ModelView:
    """Its state, policy and current version; `paused` while its runs keep failing."""
    return _model_view(session, model, caller)


@models.put("/{model}/policy")
def change_policy(
    model: ModelId, body: Policy, caller: Writer, session: WriteSession, now: Now
) -> ModelView:
    """Replaces the whole policy; what is left out returns to its default."""
    service.change_policy(
        session, model, body, controller=caller.controller_id, actor=caller.actor, now=now
    )
    return _model_view(session, model, caller)


@models.post("/{model}/versions", status_code=202)
def register_version(
    model: ModelId,
    body: RegisterVersion,
    raw: RawBody,
    caller: Writer,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    response: Response,
    key: KeyHeader = None,
) -> VersionView:
    """Accepts weights that were trained elsewhere as the model's next version."""
    owner = caller.controller_id
    once = Once(runtime.keyring, owner, "version-body", model.bytes + raw, key, now=now)
    if known := once.earlier(session):
        version = session.get_one(ModelVersion, known)
    else:
        version = service.register_version(
            session,
            runtime.artifacts,
            model,
            body,
            controller=owner,
            actor=caller.actor,
            now=now,
        )
        once.created(session, version.id)
        ring_after_commit(session, runtime.settings)
    response.headers["Location"] = f"/api/v1/models/{model_id(model)}/versions/{version.number}"
    return views.version(version)


@models.get("/{model}/versions")
def list_versions(
    model: ModelId,
    caller: Reader,
    session: ReadSession,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[VersionView]:
    """Highest number first: current, superseded, rejected and destroyed ones, candidates too."""
    found = lookup.get_model(session, model, controller=caller.controller_id)
    before = None
    if cursor is not None:
        (before,) = decode_cursor(cursor, int)
    rows = lookup.list_versions(
        session, found, before=None if before is None else int(before), limit=limit + 1
    )
    following = encode_cursor(rows[limit - 1].number) if len(rows) > limit else None
    return Page(items=[views.version(row) for row in rows[:limit]], next_cursor=following)


@models.get("/{model}/versions/current/artifact", response_class=FileResponse)
def pull_current_version(
    model: ModelId, caller: Puller, session: WriteSession, runtime: CurrentRuntime, now: Now
) -> FileResponse:
    """The weights that the model serves at present; `ETag` is their SHA-256. Who pulls which
    version is recorded before the first byte is sent, and without the record none is."""
    version = pulls.take_current(
        session, model, controller=caller.controller_id, key=caller.key_id, now=now
    )
    if version is None:
        raise service.ModelNotReady("The model has no version to serve yet.")
    sha256 = version.artifact_sha256
    if not runtime.artifacts.exists(sha256):
        raise Unavailable("The file is not in the store.")
    return FileResponse(
        runtime.artifacts.path(sha256),
        media_type=SAFETENSORS,
        headers={"ETag": f'"{sha256}"', "Lotus-Version": str(version.number)},
    )


@models.get("/{model}/recipients")
def list_recipients(
    model: ModelId,
    caller: Reader,
    session: ReadSession,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[RecipientView]:
    """Which keys pulled which version of the model, newest first by their first pull."""
    lookup.get_model(session, model, controller=caller.controller_id)
    rows, following = newest_first(session, pulls.pulls_of(model), VersionPull.id, cursor, limit)
    shown = pulls.with_names(
        session, pulls.pulls_of(model).where(VersionPull.id.in_([row.id for row in rows]))
    )
    return Page(items=[views.recipient(pull) for pull in reversed(shown)], next_cursor=following)


@models.get("/{model}/versions/{number}")
def get_version(
    model: ModelId, number: Number, caller: Reader, session: ReadSession
) -> VersionDetail:
    """One version by its number, with the run that made it and the figures before and after."""
    found = lookup.get_model(session, model, controller=caller.controller_id)
    return views.version_detail(lookup.get_version(session, found, number))


router = APIRouter()
for part in (uploads, datasets, models):
    router.include_router(part)


def _model_view(session: Session, model: UUID, caller: Caller) -> ModelView:
    found = lookup.get_model(session, model, controller=caller.controller_id)
    return views.model(found, lookup.current_versions(session, [found.id]).get(found.id))
