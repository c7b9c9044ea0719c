"""The contract of a processor, through its front door alone. Runs against any service:
`python -m tests.opendsr URL KEY`."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.opendsr.controller import REQUESTS, V1, V2, Answer, Controller, erasure

TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"
TYPES = {
    "controller_customer_id",
    "android_advertising_id",
    "android_id",
    "email",
    "fire_advertising_id",
    "ios_advertising_id",
    "ios_vendor_id",
    "microsoft_advertising_id",
    "microsoft_publisher_id",
    "roku_publisher_id",
    "roku_advertising_id",
}


def at(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(("version", "number"), [(V1, "1.0"), (V2, "2.0")])
def test_discovery_says_what_is_supported_and_where_the_certificate_is(
    processor: Controller, version: str, number: str
) -> None:
    answer = processor.call("GET", f"{version}/discovery", auth=None)
    assert answer.status == 200
    assert sorted(answer.body) == [
        "api_version",
        "processor_certificate",
        "supported_identities",
        "supported_subject_request_types",
    ]
    assert answer.body["api_version"] == number
    assert answer.body["supported_subject_request_types"] == ["erasure"]
    assert {
        (one["identity_type"], one["identity_format"])
        for one in answer.body["supported_identities"]
    } == {(kind, form) for kind in TYPES for form in ("raw", "sha256")}
    assert processor.verifier_of(answer.body["processor_certificate"]) == processor.verifier


def test_a_request_is_answered_with_what_was_received_and_when_it_will_be_done(
    processor: Controller,
) -> None:
    raw = json.dumps(processor.nobody(), indent=3).encode() + b"\n "
    before = datetime.now(UTC).replace(microsecond=0)
    answer = processor.post_raw(raw)
    assert answer.status == 201
    assert sorted(answer.body) == [
        "controller_id",
        "encoded_request",
        "expected_completion_time",
        "received_time",
        "subject_request_id",
    ]
    assert base64.b64decode(answer.body["encoded_request"], validate=True) == raw
    assert answer.body["subject_request_id"] == json.loads(raw)["subject_request_id"]
    assert before <= at(answer.body["received_time"])
    assert answer.headers["content-type"] == "application/json"


def test_the_legal_month_runs_from_when_the_person_asked(processor: Controller) -> None:
    # From Monday the 2nd: a month later is a Thursday. In California: 45 days.
    by_law = {"gdpr": "2026-04-02T23:59:59Z", "ccpa": "2026-04-16T23:59:59Z"}
    for regulation, due in by_law.items():
        body = processor.nobody(regulation=regulation, submitted_time="2026-03-02T12:00:00Z")
        assert processor.post(body).body["expected_completion_time"] == due


def test_a_repeat_is_answered_with_the_same_bytes_and_the_same_signature(
    processor: Controller,
) -> None:
    raw = json.dumps(processor.nobody()).encode()
    first, second = processor.post_raw(raw), processor.post_raw(raw)
    assert (second.status, second.raw) == (201, first.raw)
    assert second.headers["x-opendsr-signature"] == first.headers["x-opendsr-signature"]


def test_another_body_under_the_same_id_is_a_conflict(processor: Controller) -> None:
    body = processor.nobody()
    processor.accepted(body)
    answer = processor.post(body | {"submitted_time": "2026-03-03T12:00:00Z"})
    assert (answer.status, answer.reason) == (409, "request-id-taken")
    # Byte for byte: even a space makes another body.
    assert processor.post_raw(json.dumps(body, indent=1).encode()).status == 409


def test_a_hundred_equal_requests_at_once_are_one_with_a_hundred_equal_answers(
    processor: Controller,
) -> None:
    raw = json.dumps(processor.nobody()).encode()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: processor.post_raw(raw), range(100)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.raw for answer in answers}) == 1


def test_a_request_for_nobody_in_the_data_is_completed_with_no_result(
    processor: Controller,
) -> None:
    identity = processor.accepted(processor.nobody())
    answer = processor.get(identity)
    assert answer.status == 200
    assert sorted(answer.body) == [
        "api_version",
        "controller_id",
        "expected_completion_time",
        "extensions",
        "request_status",
        "results_count",
        "results_url",
        "subject_request_id",
    ]
    assert (answer.body["request_status"], answer.body["results_count"]) == ("completed", 0)
    own = processor.own(answer.body)
    assert (own["state"], own["outcome"]) == ("completed", "no_match")
    assert own["reason_code"] == "no_samples"
    assert len(own["certificate_sha256"]) == 64
    assert (own["models"], own["verification"]) == ([], None)


def test_the_status_is_found_by_its_alias_too(processor: Controller) -> None:
    identity = processor.accepted(processor.nobody())
    for version in (V1, V2):
        alias = processor.call("GET", f"{version}/status/{identity}")
        assert alias.raw == processor.get(identity, version).raw


def test_a_path_may_end_with_a_slash(processor: Controller) -> None:
    body = processor.nobody()
    assert processor.call("POST", f"{REQUESTS[V2]}/", json=body).status == 201
    path = f"{REQUESTS[V2]}/{body['subject_request_id']}/"
    assert processor.call("GET", path).status == 200
    assert processor.call("GET", f"{V2}/discovery/", auth=None).status == 200


@pytest.mark.parametrize(("said", "answered"), [("1.0", "1.0"), ("0.1", "0.1"), (..., "1.0")])
def test_the_first_version_is_spoken_too_without_a_regulation(
    processor: Controller, said: object, answered: str
) -> None:
    body = processor.nobody(regulation=..., api_version=said)
    answer = processor.post(body, V1)
    assert answer.status == 201, answer.raw
    # GDPR: a month from the 2nd of March.
    assert answer.body["expected_completion_time"] == "2026-04-02T23:59:59Z"
    identity = body["subject_request_id"]
    assert processor.get(identity, V1).body["api_version"] == answered
    assert processor.get(identity, V2).body["api_version"] == "2.0"
    assert processor.post(body, V1).raw == answer.raw


def test_the_second_version_needs_a_regulation(processor: Controller) -> None:
    answer = processor.post(processor.nobody(regulation=...))
    assert answer.status == 400
    assert answer.said == "regulation is required"


@pytest.mark.parametrize("api_version", [..., "2.0", "3.0", None])
def test_a_version_that_is_missing_or_newer_is_read(
    processor: Controller, api_version: object
) -> None:
    answer = processor.post(processor.nobody(api_version=api_version))
    assert answer.status == 201
    assert processor.status(answer.body["subject_request_id"])["api_version"] == "2.0"


def test_unknown_fields_and_other_processors_extensions_are_passed_over(
    processor: Controller,
) -> None:
    body = processor.nobody(
        group_id="7",
        skip_waiting_period=True,
        extensions={"other.example.com": {"models": 7}, "more.example.com": None},
        status_callback_urls=None,
    )
    assert processor.post(body).status == 201
    assert processor.post(processor.nobody(extensions=None)).status == 201


def test_identities_may_be_an_object_as_in_the_third_version_of_mparticle(
    processor: Controller,
) -> None:
    kind = processor.known_type
    for given in ({"value": "x", "encoding": "raw"}, {"value": "a" * 64, "encoding": "sha256"}):
        body = processor.nobody(subject_identities={kind: given}, api_version="3.0")
        assert processor.post(body).status == 201
    missing = processor.post(processor.nobody(subject_identities={kind: {"encoding": "raw"}}))
    assert missing.said == "subject_identities.0.identity_value is required"


def test_an_identity_without_a_format_is_raw(processor: Controller) -> None:
    body = processor.nobody()
    del body["subject_identities"][0]["identity_format"]
    assert processor.post(body).status == 201


def test_the_key_may_be_the_password_of_http_basic(processor: Controller) -> None:
    identity = processor.accepted(processor.nobody())
    for user in ("", "anyone", "a:b"[:1]):
        shown = base64.b64encode(f"{user}:{processor.key}".encode()).decode()
        assert processor.get(identity, auth=f"Basic {shown}").status == 200
        assert processor.get(identity, auth=f"basic {shown}").status == 200


def assert_not_let_in(answer: Answer) -> None:
    assert (answer.status, answer.reason) == (401, "not-authenticated")
    assert answer.error["errors"][0]["domain"] == "Authentication"
    assert "Basic" in answer.headers["www-authenticate"]
    assert "Bearer" in answer.headers["www-authenticate"]


def test_a_call_without_a_key_is_refused_and_signed(processor: Controller) -> None:
    for version in (V1, V2):
        assert_not_let_in(processor.post(processor.nobody(), version, auth=None))
        assert_not_let_in(processor.get(str(uuid4()), version, auth=None))
        assert_not_let_in(processor.delete(str(uuid4()), version, auth=None))


def test_a_call_without_a_valid_key_is_refused_and_signed(processor: Controller) -> None:
    # Few enough for the limit of refused log-ins in a minute.
    for wrong in (
        "Bearer",
        "Bearer lot_wrong",
        "Basic",
        "Basic !!!",
        "Basic bm9jb2xvbg==",
        "Basic OnNlY3JldA==",
        "Basic /////w==",
        "Digest x",
    ):
        assert_not_let_in(processor.post(processor.nobody(), auth=wrong))


def test_two_authorizations_are_none(processor: Controller) -> None:
    pair = [("Authorization", f"Bearer {processor.key}")] * 2
    response = processor.client.get(f"{REQUESTS[V2]}/{uuid4()}", headers=pair)
    assert response.status_code == 401
    processor.verifier.check(V2, response.headers, response.content)


@pytest.mark.parametrize("version", [V1, V2])
def test_what_is_not_known_is_not_found(processor: Controller, version: str) -> None:
    for identity in (str(uuid4()), str(uuid4()).upper(), "1", "x" * 300, "%2e%2e"):
        for answer in (
            processor.get(identity, version),
            processor.call("GET", f"{version}/status/{identity}"),
            processor.delete(identity, version),
        ):
            assert (answer.status, answer.reason) == (404, "unknown-request")
    assert processor.call("GET", f"{version}/elsewhere").status == 404
    assert processor.call("GET", version).status == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("version", [V1, V2])
def test_a_request_cannot_be_changed(processor: Controller, version: str, method: str) -> None:
    identity = processor.accepted(processor.nobody())
    for path in (f"{REQUESTS[version]}/{identity}", REQUESTS[version]):
        answer = processor.call(method, path, json=erasure())
        assert answer.status == 405
        assert answer.error["code"] == 405


def test_a_completed_request_cannot_be_cancelled(processor: Controller) -> None:
    identity = processor.accepted(processor.nobody())
    answer = processor.delete(identity)
    assert (answer.status, answer.reason) == (409, "not-pending")
    assert processor.status(identity)["request_status"] == "completed"


def test_a_pending_request_is_cancelled_once_and_answered_alike_each_time(
    processor: Controller,
) -> None:
    if processor.known is None:
        pytest.skip("nobody in the data is known")
    identity = processor.accepted(processor.person())
    first = processor.delete(identity)
    if first.status == 409:
        pytest.skip("a worker was faster")
    assert first.status == 202
    assert sorted(first.body) == [
        "api_version",
        "controller_id",
        "received_time",
        "subject_request_id",
    ]
    assert at(first.body["received_time"]) <= datetime.now(UTC)
    assert processor.delete(identity).raw == first.raw
    assert processor.delete(identity, V1).body["api_version"] == "1.0"
    found = processor.status(identity)
    assert (found["request_status"], found["results_count"]) == ("cancelled", None)


def test_nothing_is_kept_by_a_cache(processor: Controller) -> None:
    identity = processor.accepted(processor.nobody())
    for path in (f"{V2}/discovery", f"{REQUESTS[V2]}/{identity}"):
        assert processor.call("GET", path).headers["cache-control"] == "no-store"
