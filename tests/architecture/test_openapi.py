"""`openapi.json` is what client authors read, so it must say what the code does."""

import json
from pathlib import Path
from typing import Any

from app.erasure.decision_schemas import REFUSALS
from app.http.problems import MEDIA_TYPE
from app.main import API, TAGS
from tests.architecture.openapi import description

COMMITTED = Path(__file__).parents[2] / "openapi.json"


def test_the_committed_description_is_the_code_s_own() -> None:
    assert COMMITTED.read_text() == description(), "run `make openapi` and commit the result"


def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in json.loads(description())["paths"].items()
        for method, operation in item.items()
    }


def test_every_operation_says_what_it_does() -> None:
    silent = [
        name
        for name, operation in operations().items()
        if not operation.get("summary") or len(operation.get("description", "")) < 20
    ]
    assert silent == []


def test_every_operation_stands_under_one_heading_that_is_explained() -> None:
    explained = {tag["name"] for tag in json.loads(description())["tags"]}
    used = {name: operation.get("tags", []) for name, operation in operations().items()}
    assert [name for name, tags in used.items() if len(tags) != 1] == []
    assert {tags[0] for tags in used.values()} == explained == set(TAGS)


def test_every_call_of_the_api_documents_its_refusals_as_problems() -> None:
    problem = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    calls = {name: one for name, one in operations().items() if f" {API}/" in name}
    assert len(calls) > 50
    for name, operation in calls.items():
        for status in ("4XX", "5XX"):
            answer = operation["responses"].get(status, {})
            assert answer.get("content", {}).get(MEDIA_TYPE) == problem, (name, status)
            assert answer["description"], name


def test_every_call_with_a_key_says_so() -> None:
    """All but the two that a load balancer asks, the log-in, which has the key in its body, and
    what OpenDSR gives everybody: the service's description of itself, and the certificate that its
    signatures are checked with."""
    open_to_all = {name for name, one in operations().items() if not one.get("security")}
    assert open_to_all == {
        "GET /livez",
        "GET /readyz",
        "POST /api/v1/session",
        "GET /opendsr/v1/discovery",
        "GET /opendsr/v2/discovery",
        "GET /opendsr/certificates/{fingerprint}.pem",
    }


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(description())["components"]["schemas"][name]
    return found


def body_of(name: str) -> dict[str, Any]:
    (content,) = operations()[name]["requestBody"]["content"].values()
    found: dict[str, Any] = content["schema"]
    return found


def test_a_refusal_s_reasons_are_those_that_the_law_gives() -> None:
    reason = schema("RefuseRequest")["properties"]["reason_code"]
    assert reason["enum"] == sorted(REFUSALS)
    either = schema("DecideAction")["properties"]["reason_code"]["anyOf"]
    assert either == [{"type": "string", "enum": sorted(REFUSALS)}, {"type": "null"}]


def test_a_certificate_is_described_as_the_bundle_that_it_is() -> None:
    for path in ("certificates/{id}", "erasure-requests/{id}/certificate"):
        answer = operations()[f"GET {API}/{path}"]["responses"]["200"]
        bundle = answer["content"]["application/json"]["schema"]
        assert bundle["type"] == "object"
        assert set(bundle["required"]) == {"envelope", "entry", "proof"}


def test_each_version_of_opendsr_requires_what_it_does_of_a_request() -> None:
    first = body_of("POST /opendsr/v1/opengdpr_requests")
    second = body_of("POST /opendsr/v2/requests")
    assert set(second["required"]) - set(first["required"]) == {"regulation"}
    assert second["properties"]["regulation"].get("enum")
    for body in (first, second):
        assert "-4[0-9a-f]{3}-" in body["properties"]["subject_request_id"]["pattern"]


def test_class_names_are_said_to_differ() -> None:
    assert schema("RegisterDataset")["properties"]["class_names"]["uniqueItems"] is True
