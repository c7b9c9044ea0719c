"""Finds a controller's requests, runs and re-checks. What is another's is answered as unknown."""

from uuid import UUID

from sqlalchemy.orm import Session

from app.erasure.recheck_tables import Recheck
from app.erasure.tables import ErasureRequest, Run
from app.http.problems import NotFound
from app.registry.tables import Model


class UnknownRequest(NotFound):
    code = "unknown-request"
    title = "No such erasure request"


class UnknownRun(NotFound):
    code = "unknown-run"
    title = "No such run"


class UnknownRecheck(NotFound):
    code = "unknown-recheck"
    title = "No such re-check"


def get_request(session: Session, identity: UUID, *, controller: UUID) -> ErasureRequest:
    request = session.get(ErasureRequest, identity)
    if request is None or request.controller_id != controller:
        raise UnknownRequest("There is no such request, or it is not yours.")
    return request


def get_run(session: Session, identity: UUID, *, controller: UUID) -> Run:
    run = session.get(Run, identity)
    if run is None or _owner(session, run.model_id) != controller:
        raise UnknownRun("There is no such run, or it is not yours.")
    return run


def get_recheck(session: Session, identity: UUID, *, controller: UUID) -> Recheck:
    recheck = session.get(Recheck, identity)
    if recheck is None or _owner(session, recheck.model_id) != controller:
        raise UnknownRecheck("There is no such re-check, or it is not yours.")
    return recheck


def _owner(session: Session, model: UUID) -> UUID:
    return session.get_one(Model, model).controller_id
