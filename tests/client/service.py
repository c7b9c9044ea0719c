"""A service that answers what a test has prepared."""

from collections.abc import Iterator

import httpx2

from client import LotusClient

REQUEST = {
    "id": "req_" + "0" * 32,
    "state": "received",
    "regulation": "gdpr",
    "submitted_at": "2026-01-31T12:00:00Z",
    "received_at": "2026-01-31T12:00:00Z",
    "due_at": "2026-02-28T12:00:00Z",
    "overdue": False,
    "updated_at": "2026-01-31T12:00:00Z",
    "items": [],
}
PROBLEM = {
    "type": "urn:lotus-unlearning:problem:invalid-input",
    "title": "The request does not fit the schema",
    "status": 422,
    "detail": "One or more fields are missing or not valid.",
    "errors": [{"field": "subjects.0.type", "message": "is not valid"}],
}


def answering(*answers: httpx2.Response | Exception) -> tuple[LotusClient, list[httpx2.Request]]:
    """A client whose service gives these answers in turn, and what it was sent."""
    seen: list[httpx2.Request] = []
    left: Iterator[httpx2.Response | Exception] = iter(answers)

    def answer(request: httpx2.Request) -> httpx2.Response:
        request.read()
        seen.append(request)
        following = next(left)
        if isinstance(following, Exception):
            raise following
        return following

    return LotusClient("http://service/", "key", transport=httpx2.MockTransport(answer)), seen
