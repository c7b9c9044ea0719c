"""A key that is revoked, or a session that ends, while its own call waits for the database."""

import hashlib
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.keys import changing, sessions
from app.keys.tables import ApiKey, BrowserSession
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.keys.conftest import KEYS, bearer

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "another key": (KEYS, {"name": "thief", "scopes": ["keys:admin"]}),
    "a request": ("/api/v1/erasure-requests", submission("ada")),
}


@pytest.mark.parametrize("what", CALLS)
def test_what_waits_for_the_turn_to_write_is_refused_once_its_key_is_revoked(
    anonymous: TestClient, make_key: MakeKey, runtime: Runtime, what: str
) -> None:
    with runtime.database.write() as session:
        add_model(session, add_dataset(runtime, session, people(ada=4)))
    leaked, path, body = make_key(), *CALLS[what]
    with runtime.database.read() as session:
        key = session.scalars(select(ApiKey).order_by(ApiKey.id.desc())).first()
        assert key is not None
        keys = session.scalar(select(func.count()).select_from(ApiKey))
    answers: list[Any] = []

    def call() -> None:
        answers.append(anonymous.post(path, json=body, headers=bearer(leaked)))

    waiting = threading.Thread(target=call)
    with runtime.database.write() as session:
        changing.hold_controller(session, key.controller_id)
        waiting.start()
        time.sleep(1.0)  # it has shown its key by now
        changing.revoke(
            session,
            key.id,
            controller=key.controller_id,
            actor="operator",
            now=datetime.now(UTC),
            last=True,
        )
    waiting.join(timeout=60)
    (answer,) = answers
    assert answer.status_code == 401, answer.text
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ApiKey)) == keys


def test_what_waits_for_the_turn_to_write_is_refused_once_its_session_has_ended(
    anonymous: TestClient, make_key: MakeKey, runtime: Runtime
) -> None:
    page = {"Sec-Fetch-Site": "same-origin"}
    anonymous.post("/api/v1/session", json={"key": make_key()}, headers=page)
    path, body = CALLS["another key"]
    answers: list[Any] = []

    def call() -> None:
        answers.append(anonymous.post(path, json=body, headers=page))

    waiting = threading.Thread(target=call)
    with runtime.database.write() as session:
        opened = session.scalars(select(BrowserSession)).one()
        changing.hold_controller(session, session.get_one(ApiKey, opened.key_id).controller_id)
        waiting.start()
        time.sleep(1.0)  # it has shown its cookie by now
        sessions.end(session, [opened.id])
    waiting.join(timeout=60)
    (answer,) = answers
    assert answer.status_code == 401, answer.text
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ApiKey)) == 1


def test_a_key_may_revoke_itself(anonymous: TestClient, make_key: MakeKey) -> None:
    make_key()
    own = make_key()
    listed = anonymous.get(KEYS, headers=bearer(own)).json()["items"][0]
    assert own.startswith(listed["prefix"])
    answer = anonymous.delete(f"{KEYS}/{listed['id']}", headers=bearer(own))
    assert answer.status_code == 200 and not answer.json()["valid"]
    assert anonymous.get(KEYS, headers=bearer(own)).status_code == 401


def test_a_log_in_that_waits_is_refused_once_its_key_is_revoked(
    anonymous: TestClient, make_key: MakeKey, runtime: Runtime
) -> None:
    make_key()
    leaked = make_key()
    answers: list[Any] = []

    def call() -> None:
        page = {"Sec-Fetch-Site": "same-origin"}
        answers.append(anonymous.post("/api/v1/session", json={"key": leaked}, headers=page))

    waiting = threading.Thread(target=call)
    with runtime.database.write() as session:
        key = session.scalars(select(ApiKey).where(ApiKey.prefix == leaked[:12])).one()
        session.execute(select(ApiKey.id).where(ApiKey.id == key.id).with_for_update())
        waiting.start()
        time.sleep(1.0)
        changing.revoke(
            session, key.id, controller=key.controller_id, actor="operator", now=datetime.now(UTC)
        )
    waiting.join(timeout=60)
    (answer,) = answers
    assert answer.status_code == 401, answer.text
    assert "Set-Cookie" not in answer.headers
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(BrowserSession)) == 0


def test_nothing_is_kept_of_an_upload_whose_key_was_revoked_while_it_came(
    anonymous: TestClient, make_key: MakeKey, runtime: Runtime
) -> None:
    make_key()
    leaked = make_key()
    with runtime.database.read() as session:
        key = session.scalars(select(ApiKey).order_by(ApiKey.id.desc())).first()
        assert key is not None
    body = b"rows " * 1000

    def slowly() -> Iterator[bytes]:
        yield body[:1000]
        with runtime.database.write() as session:
            changing.revoke(
                session,
                key.id,
                controller=key.controller_id,
                actor="operator",
                now=datetime.now(UTC),
            )
        yield body[1000:]

    path = f"/api/v1/artifacts/{hashlib.sha256(body).hexdigest()}"
    answer = anonymous.put(path, content=slowly(), headers=bearer(leaked))
    assert answer.status_code == 401, answer.text
    staging = runtime.settings.staging_dir
    assert [one for one in staging.rglob("*") if one.is_file()] == []
