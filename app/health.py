"""`/livez`: the process runs. `/readyz`: whether it can do its work, and what lacks."""

import os
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from app import revisions
from app.erasure.worker_tables import SILENCE, Worker, WorkerRole
from app.http.sessions import CurrentRuntime, Now
from app.registry import pseudonym_keys
from app.restore.service import is_paused
from app.runtime import Runtime

router = APIRouter(tags=["health"])


class Live(BaseModel):
    status: Literal["ok"] = "ok"


class Check(BaseModel):
    name: str
    ok: bool
    detail: str


class Ready(BaseModel):
    status: Literal["ok", "degraded", "unavailable"]
    checks: list[Check]


@router.get("/livez")
def livez() -> Live:
    """Touches neither database nor files: a restart would not cure those."""
    return Live()


@router.get("/readyz", responses={503: {"model": Ready}})
def readyz(runtime: CurrentRuntime, now: Now, response: Response) -> Ready:
    """503 if requests cannot be accepted; `degraded` if they are accepted but nobody works."""
    needed = [_database(runtime), _schema(runtime), _storage(runtime), _keys(runtime)]
    wanted = [_workers(runtime, now), _not_paused(runtime)]
    status: Literal["ok", "degraded", "unavailable"] = "ok"
    if not all(check.ok for check in wanted):
        status = "degraded"
    if not all(check.ok for check in needed):
        status = "unavailable"
        response.status_code = 503
    return Ready(status=status, checks=[*needed, *wanted])


def _database(runtime: Runtime) -> Check:
    try:
        with runtime.database.read() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return Check(name="database", ok=False, detail="The database does not answer.")
    return Check(name="database", ok=True, detail="answers")


def _schema(runtime: Runtime) -> Check:
    try:
        current = revisions.is_current(runtime.database)
    except SQLAlchemyError:
        current = False
    detail = "is current" if current else "Run `lotus migrate`."
    return Check(name="schema", ok=current, detail=detail)


def _storage(runtime: Runtime) -> Check:
    ok = os.access(runtime.settings.artifact_dir, os.W_OK)
    return Check(
        name="artifacts", ok=ok, detail="writable" if ok else "The folder cannot be written."
    )


def _keys(runtime: Runtime) -> Check:
    try:
        with runtime.database.read() as session:
            lacking = pseudonym_keys.in_use(session, runtime.keyring).lacking
    except SQLAlchemyError:
        return Check(name="keys", ok=False, detail="The database does not answer.")
    detail = "A pseudonym key that registered data needs is missing: run `lotus doctor`."
    return Check(name="keys", ok=not lacking, detail=detail if lacking else "all that data needs")


def _workers(runtime: Runtime, now: datetime) -> Check:
    """A fleet needs both kinds: one computes, the other keeps the time."""
    wanted = [[WorkerRole.LOCAL, WorkerRole.GPU]]
    if runtime.settings.broker_url is not None:
        wanted = [[WorkerRole.GPU], [WorkerRole.OPS]]
    try:
        with runtime.database.read() as session:
            heard = set(
                session.scalars(
                    select(Worker.role).where(Worker.heartbeat_at > now - SILENCE).distinct()
                )
            )
    except SQLAlchemyError:
        heard = set()
    missing = [" or ".join(roles) for roles in wanted if not heard & set(roles)]
    detail = f"No worker was heard of lately: {', '.join(missing)}." if missing else "heard of"
    return Check(name="workers", ok=not missing, detail=detail)


def _not_paused(runtime: Runtime) -> Check:
    try:
        with runtime.database.read() as session:
            paused = is_paused(session)
    except SQLAlchemyError:
        return Check(name="restore", ok=False, detail="The database does not answer.")
    detail = "Paused after a restore: run `lotus doctor --after-restore`."
    return Check(name="restore", ok=not paused, detail=detail if paused else "not paused")
