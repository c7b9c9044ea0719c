import gzip
import sqlite3
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.erasure.worker_tables import WorkerRole
from app.main import create_app
from app.runtime import Runtime
from workers import roster

REQUESTS = "/api/v1/erasure-requests"


def test_an_unknown_path_is_a_problem_too(api: TestClient) -> None:
    answer = api.get("/api/v1/nothing-here")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:lotus-unlearning:problem:not-found"


def test_an_unknown_method_is_a_problem_that_names_the_allowed_ones(api: TestClient) -> None:
    answer = api.put(REQUESTS)
    assert answer.status_code == 405
    assert answer.json()["type"].endswith(":method-not-allowed")
    assert "POST" in answer.headers["allow"] or "GET" in answer.headers["allow"]


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_a_body_that_is_not_declared_as_json_is_told_so(api: TestClient, media_type: str) -> None:
    """As curl sends it, whose own default is a form."""
    body = '{"regulation": "gdpr", "subjects": [{"value": "ada"}]}'
    answer = api.post(REQUESTS, content=body, headers={"Content-Type": media_type})
    assert answer.status_code == 415
    assert answer.json()["type"].endswith(":unsupported-media-type")
    assert "application/json" in answer.json()["detail"]


def test_what_is_wrong_with_json_is_still_said_of_json(api: TestClient) -> None:
    for media_type in ("application/json", "application/problem+json; charset=utf-8"):
        answer = api.post(REQUESTS, content="[]", headers={"Content-Type": media_type})
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": "body", "message": "must be an object"}]
    assert api.post(REQUESTS).status_code == 422


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br, gzip"])
def test_a_compressed_body_is_told_so(api: TestClient, encoding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    for body in (gzip.compress(b"{}"), b"{}"):
        answer = api.post(REQUESTS, content=body, headers=headers)
        assert answer.status_code == 415
        assert answer.json()["type"].endswith(":unsupported-media-type")
    plain = {"Content-Type": "application/json", "Content-Encoding": "identity"}
    assert api.post(REQUESTS, content="{}", headers=plain).status_code == 422


def test_without_a_key_nothing_is_answered(anonymous: TestClient) -> None:
    for headers in ({}, {"Authorization": "Bearer lot_wrong"}, {"Authorization": "Basic YTpi"}):
        answer = anonymous.get(REQUESTS, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["type"].endswith(":not-authenticated")


def test_every_answer_has_an_id_that_is_not_the_callers(api: TestClient) -> None:
    answer = api.get(REQUESTS, headers={"X-Request-Id": "mine"})
    assert len(answer.headers["x-request-id"]) == 32


def test_a_database_that_is_gone_is_a_503_that_says_when_to_come_back(
    api: TestClient, runtime: Runtime
) -> None:
    if not runtime.database.is_sqlite:
        return  # only the file can be broken under a test without harming its neighbours
    path = Path(str(runtime.database.url.database))
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE erasure_requests RENAME TO moved_away")
    answer = api.get(REQUESTS)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["type"].endswith(":unavailable")
    assert "SELECT" not in answer.text


def test_a_fault_of_ours_is_a_problem_with_an_id_and_without_details(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("jane-the-unmistakable")

    monkeypatch.setattr("app.erasure.endpoints._owned", fail)
    answer = api.get(f"{REQUESTS}/req_{'0' * 32}")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith(":internal")
    assert len(answer.headers["x-request-id"]) == 32
    assert "jane" not in answer.text


def test_live_and_ready_need_no_key_and_say_what_lacks(anonymous: TestClient) -> None:
    assert anonymous.get("/livez").json() == {"status": "ok"}
    ready = anonymous.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["status"] == "degraded"  # no worker was ever started here
    assert {check["name"]: check["ok"] for check in ready.json()["checks"]} == {
        "database": True,
        "schema": True,
        "artifacts": True,
        "keys": True,
        "workers": False,
        "restore": True,
    }


def test_a_fleet_is_ready_only_with_a_worker_of_each_kind(
    settings: Settings, runtime: Runtime
) -> None:
    fleet = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    with TestClient(create_app(fleet)) as client:

        def workers() -> tuple[bool, str]:
            checks = client.get("/readyz").json()["checks"]
            (found,) = [check for check in checks if check["name"] == "workers"]
            return found["ok"], found["detail"]

        assert workers() == (False, "No worker was heard of lately: gpu, ops.")
        roster.register(runtime, WorkerRole.OPS, None)
        assert workers() == (False, "No worker was heard of lately: gpu.")
        roster.register(runtime, WorkerRole.GPU, "cpu")
        assert workers() == (True, "heard of")
