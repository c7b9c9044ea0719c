"""Calls that create something, repeated under the `Idempotency-Key` of the first."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, func, select, update

from app.http import idempotency
from app.http.tables import IdempotencyKey
from app.restore.tables import PauseReason, ServiceState
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.registry.content import feature_columns, parquet, state, weights
from tests.registry.front import Front
from workers import duties

API = "/api/v1"
KEY = {"Idempotency-Key": "once"}


def kept(runtime: Runtime) -> int:
    with runtime.database.read() as session:
        return session.scalars(select(func.count()).select_from(IdempotencyKey)).one()


def age(runtime: Runtime, by: timedelta) -> None:
    with runtime.database.write() as session:
        session.execute(update(IdempotencyKey).values(created_at=datetime.now(UTC) - by))


@pytest.fixture
def front(api: TestClient, runtime: Runtime) -> Front:
    return Front(api, runtime)


@pytest.fixture
def model(runtime: Runtime) -> str:
    with runtime.database.write() as session:
        return f"mdl_{add_model(session, add_dataset(runtime, session, people(ada=2))).id.hex}"


def test_a_call_that_names_itself_twice_is_refused(
    api: TestClient, model: str, runtime: Runtime
) -> None:
    for names in (("one", "two"), ("one", "one")):
        headers = [("Idempotency-Key", name) for name in names]
        answer = api.post(f"{API}/erasure-requests", json=submission("ada"), headers=headers)
        assert answer.status_code == 422
        fault = {"field": "header.Idempotency-Key", "message": "must be given once"}
        assert answer.json()["errors"] == [fault]
    assert kept(runtime) == 0


def test_a_dataset_a_model_and_a_version_are_registered_once(front: Front) -> None:
    front.api.headers |= {"Idempotency-Key": "dataset"}
    manifest = front.upload(parquet(feature_columns(20)))
    first, again = (front.post_dataset(manifest) for _ in range(2))
    assert first.status_code == again.status_code == 202, first.text
    assert first.json() == again.json()
    assert first.headers["Location"] == again.headers["Location"]
    assert len(front.get("/datasets")["items"]) == 1
    front.check()
    front.api.headers |= {"Idempotency-Key": "model"}
    dataset, trained = first.json()["id"], front.upload(weights())
    first, again = (front.post_model(dataset, trained) for _ in range(2))
    assert first.status_code == 202, first.text
    assert first.json() == again.json()
    assert len(front.get("/models")["items"]) == 1
    front.check()
    front.api.headers |= {"Idempotency-Key": "version"}
    path = f"/models/{first.json()['id']}/versions"
    other = {name: tensor + 1 for name, tensor in state().items()}
    later = {"artifact": front.upload(weights(other))}
    first, again = (front.api.post(f"{API}{path}", json=later) for _ in range(2))
    assert first.status_code == 202 and first.json() == again.json()
    assert len(front.get(path)["items"]) == 2


def test_a_key_means_one_operation(api: TestClient, model: str) -> None:
    """The same bytes sent elsewhere are another call."""
    assert api.post(f"{API}/keys", json=_key(), headers=KEY).status_code == 201
    other = api.post(f"{API}/webhooks", json={"url": "https://a.example/"}, headers=KEY)
    assert other.status_code == 422
    assert other.json()["type"].endswith(":idempotency-key-reused")
    third = api.post(f"{API}/erasure-requests", json=submission("ada"), headers=KEY)
    assert third.json()["type"].endswith(":idempotency-key-reused")


def _key() -> dict[str, Any]:
    return {"name": "made", "scopes": ["requests:read"]}


def test_a_secret_is_not_shown_again_and_nothing_is_made_twice(api: TestClient) -> None:
    body = {"url": "https://receiver.example.org/hook"}
    first = api.post(f"{API}/webhooks", json=body, headers=KEY)
    again = api.post(f"{API}/webhooks", json=body, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 409)
    assert again.json()["type"].endswith(":secret-shown-before")
    assert again.headers["Location"] == first.headers["Location"]
    assert first.json()["secret"] not in again.text
    assert len(api.get(f"{API}/webhooks").json()["items"]) == 1


def test_a_key_is_rotated_once(api: TestClient, make_key: MakeKey) -> None:
    made = api.post(f"{API}/keys", json=_key()).json()["id"]
    rotate = {"json": {}, "headers": {"Idempotency-Key": "again"}}
    first = api.post(f"{API}/keys/{made}/rotate", **rotate)  # type: ignore[arg-type]
    again = api.post(f"{API}/keys/{made}/rotate", **rotate)  # type: ignore[arg-type]
    assert (first.status_code, again.status_code) == (201, 409)
    assert again.headers["Location"] == first.headers["Location"]
    successor = first.json()["id"]
    other = api.post(f"{API}/keys/{successor}/rotate", **rotate)  # type: ignore[arg-type]
    assert other.json()["type"].endswith(":idempotency-key-reused")


def test_a_call_that_was_refused_leaves_its_key_free(api: TestClient, model: str) -> None:
    url = f"{API}/erasure-requests"
    refused = api.post(url, json=submission("ada", models=[f"mdl_{'0' * 32}"]), headers=KEY)
    assert refused.status_code == 422
    assert api.post(url, json=submission("ada"), headers=KEY).status_code == 202


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "schl\u00fcssel"])
def test_a_malformed_key_is_refused_and_not_repeated(api: TestClient, model: str, key: str) -> None:
    answer = api.post(
        f"{API}/erasure-requests",
        json=submission("ada"),
        headers={"Idempotency-Key": key.encode()},  # type: ignore[dict-item]
    )
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["header.Idempotency-Key"]
    assert not key or key not in answer.text


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_call_whose_like_is_still_in_progress_waits_and_then_is_told_so(
    api: TestClient, model: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT_MILLISECONDS", 200)
    url, body = f"{API}/erasure-requests", submission("ada")
    first = api.post(url, json=body, headers=KEY).json()["id"]
    with runtime.database.engine.connect() as connection:
        # The row is there again, or is not, once this ends.
        connection.execute(delete(IdempotencyKey))
        again = api.post(url, json=body, headers=KEY)
        assert (again.status_code, again.headers["Retry-After"]) == (409, "1")
        assert again.json()["type"].endswith(":idempotency-key-in-use")
        connection.rollback()
    assert api.post(url, json=body, headers=KEY).json()["id"] == first


def test_keys_are_forgotten_after_a_day_and_not_before(
    api: TestClient, model: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "PART", 3)
    url = f"{API}/erasure-requests"

    def send(number: int) -> str:
        key = {"Idempotency-Key": f"key-{number}"}
        identity: str = api.post(url, json=submission("ada"), headers=key).json()["id"]
        return identity

    first = [send(number) for number in range(7)]
    age(runtime, timedelta(hours=23, minutes=59))
    duties.clear(runtime, datetime.now(UTC))
    assert [send(number) for number in range(7)] == first
    age(runtime, timedelta(hours=24, minutes=1))
    send(99)
    duties.clear(runtime, datetime.now(UTC))
    assert kept(runtime) == 1
    assert send(0) not in first


def test_a_service_that_is_paused_forgets_no_key(
    api: TestClient, model: str, runtime: Runtime
) -> None:
    """Callers send again what the backup does not know."""
    api.post(f"{API}/erasure-requests", json=submission("ada"), headers=KEY)
    age(runtime, timedelta(days=3))
    now = datetime.now(UTC)
    with runtime.database.write() as session:
        state = session.get(ServiceState, 1) or ServiceState(id=1)
        state.paused_at, state.pause_reason = now, next(iter(PauseReason))
        session.add(state)
    duties.clear(runtime, now)
    assert kept(runtime) == 1


def test_a_key_that_is_forgotten_at_this_moment_is_taken_anew(
    api: TestClient, model: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{API}/erasure-requests"
    first = api.post(url, json=submission("ada"), headers=KEY).json()["id"]
    whole: Callable[..., Any] = idempotency.Session.get
    gone = []

    def forgotten(self: Any, entity: Any, *rest: Any, **named: Any) -> Any:
        found = whole(self, entity, *rest, **named)
        if entity is IdempotencyKey and not gone:
            gone.append(found)
            self.delete(found)
            self.flush()
            return None
        return found

    monkeypatch.setattr(idempotency.Session, "get", forgotten)
    second = api.post(url, json=submission("ada"), headers=KEY)
    assert second.status_code == 202 and second.json()["id"] != first
    assert gone
