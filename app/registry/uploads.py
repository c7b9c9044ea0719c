"""`PUT /artifacts/{sha256}`: bytes stream to a staged file and must have the digest in the path."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.http.problems import Unavailable
from app.http.sessions import Clock, CurrentRuntime, Now
from app.keys.auth import Caller, require, require_still_valid
from app.keys.scopes import Scope
from app.registry.artifacts import (
    DigestMismatched,
    UploadAborted,
    known_type,
    note_upload,
    owned_state,
)
from app.registry.schemas import ArtifactView
from app.runtime import Runtime
from app.storage import DigestMismatch, Upload

# Each write is a hop to a thread: fewer, larger ones.
WRITE_BYTES = 1024 * 1024

router = APIRouter(prefix="/artifacts", tags=["artifacts"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put("/{sha256}", status_code=201, openapi_extra=_BODY)
async def upload_artifact(
    sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")],
    request: Request,
    response: Response,
    caller: Annotated[Caller, Depends(require(Scope.REGISTRY_WRITE))],
    runtime: CurrentRuntime,
    now: Now,
    clock: Clock,
) -> ArtifactView:
    """Stages a manifest or a weights file. 200 if you have sent the same content before; what you
    send is read and checked all the same."""
    owner = caller.controller_id
    if await run_in_threadpool(runtime.artifacts.is_staged, owner, sha256):
        response.status_code = 200
    try:
        with await run_in_threadpool(runtime.artifacts.receive, owner, sha256) as upload:
            await _stream(request, upload)
            await run_in_threadpool(_check, runtime, caller, clock())
            await run_in_threadpool(upload.finish)
            size = upload.size
    except DigestMismatch:
        raise DigestMismatched("Nothing was kept. Send the file again.") from None
    except ClientDisconnect:
        raise UploadAborted("Nothing was kept. Send the file again.") from None
    except OSError:
        raise Unavailable(
            "The upload could not be written.", headers={"Retry-After": "60"}
        ) from None
    media_type = request.headers.get("content-type", "")
    return await run_in_threadpool(_note, runtime, owner, sha256, size, media_type, now)


async def _stream(request: Request, upload: Upload) -> None:
    waiting = bytearray()
    async for chunk in request.stream():
        waiting += chunk
        if len(waiting) >= WRITE_BYTES:
            await run_in_threadpool(upload.write, bytes(waiting))
            waiting.clear()
    await run_in_threadpool(upload.write, bytes(waiting))


def _check(runtime: Runtime, caller: Caller, now: datetime) -> None:
    """An upload lasts, and nothing is kept of one whose key was revoked meanwhile."""
    with runtime.database.read() as session:
        require_still_valid(session, caller, now=now)


def _note(
    runtime: Runtime, owner: UUID, sha256: str, size: int, media_type: str, now: datetime
) -> ArtifactView:
    """Nothing in the answer comes from the row: others may have sent the same bytes before."""
    with runtime.database.write() as session:
        note_upload(session, sha256, size=size, media_type=media_type, now=now)
        state = owned_state(session, sha256, owner)
    return ArtifactView(sha256=sha256, size=size, media_type=known_type(media_type), state=state)
