"""Datasets, models and their versions over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Response
from fastapi.responses import FileResponse
from sqlalchemy.orm import Session

from app.bell import ring_after_commit
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
from app.registry.tables import Dataset, Model
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
    caller: Writer,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    response: Response,
) -> DatasetView:
    """Accepts an uploaded manifest. A worker reads it: the dataset ends `ready` or `invalid`."""
    dataset = service.register_dataset(
        session,
        runtime.artifacts,
        body,
        controller=caller.controller_id,
        actor=caller.actor,
        now=now,
    )
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
    caller: Writer,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    response: Response,
) -> ModelView:
    """Accepts uploaded weights. A worker reads them: the model ends `ready` or `invalid`."""
    model, _ = service.register_model(
        session,
        runtime.artifacts,
        body,
        controller=caller.controller_id,
        actor=caller.actor,
        now=now,
    )
    ring_after_commit(session, runtime.settings)
    response.headers["Location"] = f"/api/v1/models/{model_id(model.id)}"
    return views.model(model, None)


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
    caller: Writer,
    session: WriteSession,
    runtime: CurrentRuntime,
    now: Now,
    response: Response,
) -> VersionView:
    """Accepts weights that were trained elsewhere as the model's next version."""
    version = service.register_version(
        session,
        runtime.artifacts,
        model,
        body,
        controller=caller.controller_id,
        actor=caller.actor,
        now=now,
    )
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
