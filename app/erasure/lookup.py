"""Finds a controller's requests and runs. What is another controller's is answered as unknown."""

from uuid import UUID

from sqlalchemy.orm import Session

from app.erasure.tables import ErasureRequest, Run
from app.http.problems import NotFound
from app.registry.tables import Model


class UnknownRequest(NotFound):
    code = "unknown-request"
    title = "No such erasure request"


class UnknownRun(NotFound):
    code = "unknown-run"
    title = "No such run"


def get_request(session: Session, identity: UUID, *, controller: UUID) -> ErasureRequest:
    request = session.get(ErasureRequest, identity)
    if request is None or request.controller_id != controller:
        raise UnknownRequest("There is no such request, or it is not yours.")
    return request


def get_run(session: Session, identity: UUID, *, controller: UUID) -> Run:
    run = session.get(Run, identity)
    if run is None or session.get_one(Model, run.model_id).controller_id != controller:
        raise UnknownRun("There is no such run, or it is not yours.")
    return run
