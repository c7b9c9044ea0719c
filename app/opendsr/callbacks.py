"""The protocol's callbacks: to every URL that a request named, at every change of its state.

Two dialects beside Standard Webhooks, one for each version. The body is written in the transaction
of the change; it is signed when it is sent, by the key of that moment.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from app.canonical import canonical_json
from app.config import Settings
from app.erasure.states import RequestState
from app.erasure.tables import ErasureRequest
from app.keyring import BadKey
from app.opendsr import answers
from app.opendsr.signing import NotSetUp, seal_of
from app.opendsr.tables import OpenDsrRequest
from app.opendsr.versions import V1, V2, Version
from app.webhooks.dialects import DIALECTS, CannotSign, Letter
from app.webhooks.events import EventType, News

# These are told with the certificate, which is written right after the move, in one transaction.
_CERTIFIED = (RequestState.COMPLETED, RequestState.REFUSED)
# No change of the state: a case that is closed has the one that it had.
_UNTOLD = (
    EventType.REQUEST_CLOSED,
    EventType.REQUEST_DUE_SOON,
    EventType.REQUEST_OVERDUE,
)


class OpenDsrCallbacks:
    """Signed with the key of the processor's certificate, so no endpoint lends its secret."""

    def __init__(self, version: Version) -> None:
        self._version = version

    def body(self, session: Session, news: News, url: str) -> bytes | None:
        if news.request_id is None or news.event in _UNTOLD:
            return None
        request = session.get_one(ErasureRequest, news.request_id)
        certified = request.state in _CERTIFIED and request.closed_at is None
        if certified is not (news.event is EventType.CERTIFICATE_WRITTEN):
            return None
        row = session.get_one(OpenDsrRequest, news.request_id)
        status = answers.status(session, row, request, row.api_version)
        return canonical_json({**status.model_dump(mode="json"), "status_callback_url": url})

    def headers(self, letter: Letter, settings: Settings, *, now: datetime) -> Mapping[str, str]:
        try:
            seal = seal_of(settings)
        except (NotSetUp, BadKey):
            raise CannotSign from None
        return {
            self._version.domain_header: seal.domain,
            self._version.signature_header: seal.sign(letter.payload),
        }


DIALECTS[V2.dialect] = OpenDsrCallbacks(V2)
DIALECTS[V1.dialect] = OpenDsrCallbacks(V1)
