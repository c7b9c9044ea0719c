"""Parameters that a call does not know, and methods that a path does not have."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.architecture.openapi import description
from tests.keys.operations import GUARDED

MADE_UP = "jane.doe@secret.example"
PATHS: dict[str, dict[str, Any]] = json.loads(description())["paths"]


def test_no_call_takes_a_parameter_that_it_does_not_know(api: TestClient) -> None:
    assert len(GUARDED) > 60
    for operation in GUARDED:
        for query in ({MADE_UP: "1"}, {"limit": "5", "limits": "5"}):
            answer = api.request(operation.method, operation.path, params=query)
            assert answer.status_code == 422, f"{operation}: {answer.text}"
            assert {"field": "query", "message": "unknown parameter"} in answer.json()["errors"]
            assert "jane" not in answer.text and "limits" not in answer.text


def test_an_unknown_parameter_is_refused_before_anything_is_done(api: TestClient) -> None:
    body = {"url": "https://receiver.example.org/hook"}
    answer = api.post("/api/v1/webhooks", json=body, params={"dry_run": "true"})
    assert answer.status_code == 422
    assert api.get("/api/v1/webhooks").json()["items"] == []


def test_a_parameter_of_a_filter_and_one_of_a_plain_list_are_known(api: TestClient) -> None:
    query = {"state": ["failed", "scheduled"], "overdue": "true", "limit": 3}
    assert api.get("/api/v1/erasure-requests", params=query).status_code == 200
    assert api.get("/api/v1/models", params={"limit": 3}).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_a_path_without_the_method_says_405_and_names_every_method_it_has(
    api: TestClient, method: str
) -> None:
    """Fixed paths too, beside one with an id: `/webhooks/deliveries` is no webhook."""
    for path, operations in PATHS.items():
        described = {name.upper() for name in operations}
        if method in described:
            continue
        answer = api.request(method, path)
        assert answer.status_code == 405, f"{method} {path}"
        assert answer.headers["allow"] == ", ".join(sorted(described)), path


def test_a_path_that_is_not_there_names_no_method(api: TestClient) -> None:
    answer = api.delete("/api/v1/nothing-here")
    assert answer.status_code == 404
    assert "allow" not in answer.headers
