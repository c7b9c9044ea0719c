"""Uploading artifacts over HTTP."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.keys.scopes import Scope
from app.main import create_app
from tests.conftest import MakeKey
from tests.registry import content
from tests.registry.content import digest
from tests.registry.front import PROBLEM, Front

BODY = b"canary-8846 " * 1000


def put(api: TestClient, sha256: str, content: Any) -> Any:
    return api.put(f"/api/v1/artifacts/{sha256}", content=content)


def in_pieces(body: bytes, size: int = 1000) -> Iterator[bytes]:
    """Sent chunked: without a Content-Length."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


def test_an_upload_is_staged_under_its_digest(front: Front) -> None:
    answer = front.api.put(
        f"/api/v1/artifacts/{digest(BODY)}",
        content=BODY,
        headers={"Content-Type": "application/vnd.apache.parquet"},
    )

    assert answer.status_code == 201
    assert answer.json() == {
        "sha256": digest(BODY),
        "size": len(BODY),
        "media_type": "application/vnd.apache.parquet",
        "state": "staged",
    }


def test_an_upload_sent_again_answers_200_and_changes_nothing(front: Front) -> None:
    first = put(front.api, digest(BODY), BODY)
    again = put(front.api, digest(BODY), BODY)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert front.files_left() == [digest(BODY)]


def test_wrong_bytes_are_refused_under_a_digest_that_is_staged_already(front: Front) -> None:
    put(front.api, digest(BODY), BODY)
    answer = put(front.api, digest(BODY), b"something else")

    assert answer.status_code == 422
    assert answer.json()["type"].endswith(":digest-mismatch")
    assert front.files_left() == [digest(BODY)]


def test_an_upload_says_that_the_callers_own_registration_has_stored_the_bytes(
    front: Front,
) -> None:
    body = content.weights()
    front.model(body)

    assert put(front.api, digest(body), body).json()["state"] == "stored"


def test_an_upload_does_not_tell_what_another_controller_has_stored(
    front: Front, make_key: MakeKey
) -> None:
    body = content.weights()
    front.api.put(
        f"/api/v1/artifacts/{digest(body)}",
        content=body,
        headers={"Content-Type": "application/vnd.safetensors"},
    )
    front.model(body)
    front.api.headers["Authorization"] = f"Bearer {make_key(controller='other')}"
    answer = put(front.api, digest(body), body)

    assert front.artifact(digest(body)).state == "stored"
    assert answer.status_code == 201
    assert answer.json() == {
        "sha256": digest(body),
        "size": len(body),
        "media_type": "application/octet-stream",
        "state": "staged",
    }


def test_a_chunked_upload_of_several_megabytes_arrives_whole(front: Front) -> None:
    body = bytes(range(256)) * 4096 * 3 + b"end"
    answer = put(front.api, digest(body), in_pieces(body, 70_000))

    assert answer.status_code == 201
    assert answer.json()["size"] == len(body)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_wrong_digest_is_refused_and_leaves_no_file(front: Front, chunked: bool) -> None:
    answer = put(front.api, digest(b"other"), in_pieces(BODY) if chunked else BODY)

    assert answer.status_code == 422
    assert answer.json()["type"] == PROBLEM + "digest-mismatch"
    assert "canary" not in answer.text
    assert front.files_left() == []


@pytest.mark.parametrize(
    "name", ["0" * 63, "A" * 64, "..%2F..%2Fetc%2Fpasswd", "%00" * 64, "0" * 64 + "%0a"]
)
def test_a_name_that_is_no_digest_is_refused(front: Front, name: str) -> None:
    answer = put(front.api, name, BODY)

    assert answer.status_code in (404, 422)
    assert front.files_left() == []


def test_a_caller_cannot_smuggle_text_in_as_a_media_type(front: Front) -> None:
    answer = front.api.put(
        f"/api/v1/artifacts/{digest(BODY)}",
        content=BODY,
        headers={"Content-Type": "person/ada-lovelace"},
    )

    assert answer.json()["media_type"] == "application/octet-stream"


def test_uploading_needs_a_key_that_may_register(front: Front, make_key: MakeKey) -> None:
    for headers, status in (
        ({"Authorization": ""}, 401),
        ({"Authorization": f"Bearer {make_key(Scope.REGISTRY_READ)}"}, 403),
    ):
        answer = front.api.put(f"/api/v1/artifacts/{digest(BODY)}", content=BODY, headers=headers)
        assert answer.status_code == status
    assert front.files_left() == []


def test_a_caller_who_hangs_up_leaves_no_file(front: Front) -> None:
    sent: list[Any] = []
    messages = iter(
        [
            {"type": "http.request", "body": BODY, "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PUT",
        "path": f"/api/v1/artifacts/{digest(BODY)}",
        "raw_path": b"",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "headers": [(b"authorization", front.api.headers["Authorization"].encode())],
    }
    asyncio.run(create_app(front.runtime.settings)(scope, receive, send))

    assert sent[0]["status"] == 400
    assert b"upload-aborted" in sent[1]["body"]
    assert front.files_left() == []


@pytest.fixture
def small(settings: Settings, make_key: MakeKey) -> Iterator[TestClient]:
    """A service that takes uploads of 10,000 bytes."""
    app = create_app(settings.model_copy(update={"max_upload_bytes": 10_000}))
    with TestClient(app, raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {make_key()}"
        yield client


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_beyond_the_limit_is_refused_and_leaves_no_file(
    small: TestClient, front: Front, chunked: bool
) -> None:
    answer = put(small, digest(BODY), in_pieces(BODY) if chunked else BODY)

    assert len(BODY) > 10_000
    assert answer.status_code == 413
    assert answer.json()["type"] == PROBLEM + "body-too-large"
    assert front.files_left() == []


def test_an_upload_as_large_as_the_limit_is_taken(small: TestClient) -> None:
    body = bytes(10_000)

    assert put(small, digest(body), in_pieces(body)).status_code == 201
