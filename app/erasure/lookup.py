"""Finds a controller's requests. What belongs to another controller is answered as unknown."""

from uuid import UUID

from sqlalchemy.orm import Session

from app.erasure.tables import ErasureRequest
from app.http.problems import NotFound


class UnknownRequest(NotFound):
    code = "unknown-request"
    title = "No such erasure request"


def get_request(session: Session, identity: UUID, *, controller: UUID) -> ErasureRequest:
    request = session.get(ErasureRequest, identity)
    if request is None or request.controller_id != controller:
        raise UnknownRequest("There is no such request, or it is not yours.")
    return request
