import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.certificates.tables import Certificate
from app.erasure.tables import ErasureItem, ErasureRequest, RequestSubject
from app.keys.scopes import Scope
from app.registry.tables import SampleSplit
from app.runtime import Runtime
from app.schema import metadata
from tests.erasure.factories import add_dataset, add_model, people, submission

URL = "/api/v1/erasure-requests"


@pytest.fixture
def model(runtime: Runtime) -> str:
    """One model, trained on rows of ada and ben; carl has held-out rows only."""
    rows = {**people(ada=4, ben=3), "carl": {SampleSplit.TEST: 2}}
    with runtime.database.write() as session:
        return f"mdl_{add_model(session, add_dataset(runtime, session, rows)).id.hex}"


def test_a_request_is_accepted_with_its_samples_counted(api: TestClient, model: str) -> None:
    answer = api.post(URL, json=submission("ada", external_id="case-1"))
    assert answer.status_code == 202
    body = answer.json()
    assert body["state"] == "scheduled"
    assert body["external_id"] == "case-1"
    assert [(item["model"], item["forget_count"]) for item in body["items"]] == [(model, 4)]
    assert body["certificate"] is None
    assert api.get(answer.headers["Location"]).json() == body
    assert api.get(f"{URL}/{body['id']}").json() == body


def test_the_identity_is_nowhere_in_the_database(
    api: TestClient, model: str, runtime: Runtime
) -> None:
    api.post(URL, json=submission("quentin-unmistakable"))
    with runtime.database.read() as session:
        rows = [row for table in metadata.sorted_tables for row in session.execute(select(table))]
    assert len(rows) > 20
    assert "quentin" not in repr(rows)


def test_raw_and_hashed_identities_find_the_same_samples(api: TestClient, model: str) -> None:
    import hashlib

    hashed = {
        "type": "controller_customer_id",
        "value": hashlib.sha256(b"ada").hexdigest().upper(),
        "format": "sha256",
    }
    answer = api.post(URL, json={"subjects": [hashed], "regulation": "gdpr"})
    assert [item["forget_count"] for item in answer.json()["items"]] == [4]


def test_several_identities_are_one_person(api: TestClient, model: str) -> None:
    answer = api.post(URL, json=submission("ada", "ben"))
    assert [item["forget_count"] for item in answer.json()["items"]] == [7]


def test_nobody_known_ends_as_no_match_with_a_certificate(api: TestClient, model: str) -> None:
    body = api.post(URL, json=submission("nobody")).json()
    assert (body["state"], body["outcome"], body["reason_code"]) == (
        "completed",
        "no_match",
        "no_samples",
    )
    assert body["items"] == []
    assert body["certificate"]["state"] == "unsigned"


def test_held_out_rows_alone_are_no_match_and_say_so(api: TestClient, model: str) -> None:
    body = api.post(URL, json=submission("carl")).json()
    assert (body["outcome"], body["reason_code"]) == ("no_match", "held_out_only")


def test_an_identity_type_that_no_dataset_has_is_never_a_no_match(
    api: TestClient, model: str, runtime: Runtime
) -> None:
    answer = api.post(
        URL,
        json={"subjects": [{"type": "email", "value": "a@b.example"}], "regulation": "gdpr"},
    )
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"].endswith(":identity-type-not-indexed")
    assert problem["errors"][0]["field"] == "subjects.0.type"
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ErasureRequest)) == 0
        assert session.scalar(select(func.count()).select_from(RequestSubject)) == 0


def test_a_model_of_another_controller_is_unknown(
    api: TestClient, model: str, make_key: Callable[..., str]
) -> None:
    foreign = {"Authorization": f"Bearer {make_key(controller='other')}"}
    answer = api.post(URL, json=submission("ada", models=[model]), headers=foreign)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith(":unknown-model")


def test_without_a_model_nothing_is_answered_about_anyone(api: TestClient) -> None:
    answer = api.post(URL, json=submission("ada"))
    assert answer.status_code == 409
    assert answer.json()["type"].endswith(":nothing-registered")


@pytest.mark.parametrize("number", ["ada@example.org", "case-of-ada@work", "ada", "ADA"])
def test_a_case_number_that_names_the_person_is_refused_and_not_repeated(
    api: TestClient, model: str, number: str, runtime: Runtime
) -> None:
    answer = api.post(URL, json=submission("ada", external_id=number))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "external_id")
    assert answer.json()["type"].endswith(":external-id-names-person")
    assert number not in answer.text
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ErasureRequest)) == 0
    assert api.post(URL, json=submission("ada", external_id="case-ada")).status_code == 202


def test_a_repeat_under_one_external_id_is_one_request(
    api: TestClient, model: str, runtime: Runtime
) -> None:
    first = api.post(URL, json=submission("ada", external_id="case-1"))
    second = api.post(URL, json=submission("ada", external_id="case-1"))
    assert second.status_code == 202
    assert second.json() == first.json()
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ErasureItem)) == 1


def test_another_body_under_one_external_id_is_a_conflict(api: TestClient, model: str) -> None:
    api.post(URL, json=submission("ada", external_id="case-1"))
    answer = api.post(URL, json=submission("ben", external_id="case-1"))
    assert answer.status_code == 409
    assert answer.json()["type"].endswith(":external-id-taken")
    assert "case-1" not in answer.text


def test_a_repeat_under_one_idempotency_key_is_one_request(
    api: TestClient, model: str, runtime: Runtime
) -> None:
    headers = {"Idempotency-Key": "a-1"}
    first = api.post(URL, json=submission("ada"), headers=headers)
    second = api.post(URL, json=submission("ada"), headers=headers)
    assert first.json()["id"] == second.json()["id"]
    other = api.post(URL, json=submission("ben"), headers=headers)
    assert other.status_code == 422
    assert other.json()["type"].endswith(":idempotency-key-reused")


def test_without_key_or_external_id_two_requests_are_two(api: TestClient, model: str) -> None:
    ids = {api.post(URL, json=submission("ada")).json()["id"] for _ in range(2)}
    assert len(ids) == 2


def test_another_controller_sees_neither_list_nor_request(
    api: TestClient, model: str, make_key: Callable[..., str]
) -> None:
    identity = api.post(URL, json=submission("ada")).json()["id"]
    foreign = {"Authorization": f"Bearer {make_key(controller='other')}"}
    unknown = f"req_{'0' * 32}"
    assert api.get(URL, headers=foreign).json()["items"] == []
    theirs = api.get(f"{URL}/{identity}", headers=foreign)
    nobodys = api.get(f"{URL}/{unknown}", headers=foreign)
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json() == nobodys.json()
    assert api.post(f"{URL}/{identity}/cancel", headers=foreign).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "", Scope.REQUESTS_READ),
        ("POST", "", Scope.REQUESTS_WRITE),
        ("POST", "/impact", Scope.REQUESTS_READ),
        ("GET", f"/req_{'0' * 32}", Scope.REQUESTS_READ),
        ("POST", f"/req_{'0' * 32}/cancel", Scope.REQUESTS_WRITE),
        ("POST", f"/req_{'0' * 32}/decide", Scope.REQUESTS_DECIDE),
    ],
)
def test_each_call_needs_its_own_scope(
    api: TestClient, make_key: Callable[..., str], method: str, path: str, scope: Scope
) -> None:
    others = [each for each in Scope if each is not scope]
    headers = {"Authorization": f"Bearer {make_key(*others)}"}
    answer = api.request(method, URL + path, json={}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["type"].endswith(":missing-scope")
    assert scope in answer.json()["detail"]


SECRET = "jane.doe@secret.example"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"regulation": SECRET}, "body.regulation"),
        ({"regulation": None}, "body.regulation"),
        ({"subjects": []}, "body.subjects"),
        ({"subjects": [{"value": SECRET, "type": SECRET}]}, "body.subjects.0.type"),
        ({"subjects": [{"value": SECRET, "format": "md5"}]}, "body.subjects.0.format"),
        ({"subjects": [{"value": SECRET, "format": "sha256"}]}, "subjects.0.value"),
        ({"subjects": [{"value": SECRET + "x" * 2000}]}, "body.subjects.0.value"),
        ({"subjects": [{"value": "   "}]}, "subjects.0.value"),
        ({"subjects": [{"value": {"nested": SECRET}}]}, "body.subjects.0.value"),
        ({"subjects": [{"value": "a", SECRET: SECRET}]}, "body.subjects.0"),
        ({"subjects": SECRET}, "body.subjects"),
        ({SECRET: 1}, "body"),
        ({"submitted_at": SECRET}, "body.submitted_at"),
        ({"submitted_at": "2026-01-01T00:00:00"}, "body.submitted_at"),
        ({"submitted_at": 0}, "body.submitted_at"),
        ({"submitted_at": 1767225600}, "body.submitted_at"),
        ({"submitted_at": True}, "body.submitted_at"),
        ({"submitted_at": "1767225600"}, "body.submitted_at"),
        ({"submitted_at": "2026-01-01"}, "body.submitted_at"),
        ({"submitted_at": "8999-12-31T23:59:59Z"}, "submitted_at"),
        ({"submitted_at": "1900-01-01T00:00:00Z"}, "submitted_at"),
        ({"submitted_at": "9999-12-31T23:59:59-23:59"}, "body.submitted_at"),
        ({"submitted_at": "0001-01-01T00:00:00+23:59"}, "body.submitted_at"),
        ({"models": [SECRET]}, "body.models.0"),
        ({"models": []}, "body.models"),
        ({"external_id": ""}, "body.external_id"),
        ({"external_id": "line\nbreak"}, "body.external_id"),
        ({"legal_ground": SECRET}, "body.legal_ground"),
    ],
)
def test_a_faulty_body_is_refused_by_field_and_never_repeated(
    api: TestClient, model: str, runtime: Runtime, change: dict[str, object], field: str
) -> None:
    answer = api.post(URL, json={**submission("ada"), **change})
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert "jane" not in answer.text
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ErasureRequest)) == 0


@pytest.mark.parametrize(
    "body", ["{", '{"a": 1', "[" * 20_000, "nul", '{"a": NaN}'.replace("NaN", "nan"), "\xff"]
)
def test_what_is_no_json_is_a_400(api: TestClient, body: str) -> None:
    answer = api.post(
        URL, content=body.encode("latin-1"), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400, answer.text
    assert answer.json()["type"].endswith(":malformed-json")


def test_the_list_pages_without_gap_or_repeat(api: TestClient, model: str) -> None:
    made = [api.post(URL, json=submission("ada")).json()["id"] for _ in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = api.get(URL, params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [row["id"] for row in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == made[::-1]


def test_the_list_filters_by_state(api: TestClient, model: str) -> None:
    waiting = api.post(URL, json=submission("ada")).json()["id"]
    done = api.post(URL, json=submission("nobody")).json()["id"]
    for state, expected in (("scheduled", waiting), ("completed", done)):
        rows = api.get(URL, params={"state": state}).json()["items"]
        assert [row["id"] for row in rows] == [expected]


@pytest.mark.parametrize("cursor", ["x", "WzFd", "eyJhIjoxfQ==", "Ww==", "WyJ6eiJd"])
def test_a_made_up_cursor_is_refused(api: TestClient, cursor: str) -> None:
    answer = api.get(URL, params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["type"].endswith(":bad-cursor")


def test_impact_counts_and_stores_nothing(api: TestClient, model: str, runtime: Runtime) -> None:
    answer = api.post(f"{URL}/impact", json={"subjects": submission("ada")["subjects"]})
    assert answer.status_code == 200
    (one,) = answer.json()["models"]
    # ada's rows: 2 of each class. Unseen test rows: stranger 6 + carl 2, 4 of each class.
    # n_eff = 1 / (2 * .25 / 4) = 8; 2.93 sqrt((1/4 + 1/8) / 12) = .518.
    assert (one["forget_count"], one["unseen_count"]) == (4, 8)
    assert one["retain_count"] == 3 + 6  # ben's and the stranger's
    assert one["provable_margin"] == pytest.approx(2.93 * (0.375 / 12) ** 0.5)
    assert one["enough_data"] is False
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ErasureRequest)) == 0


def test_more_callers_at_once_than_there_are_threads_are_all_accepted(
    api: TestClient, model: str
) -> None:
    def send(number: int) -> int:
        body = submission(f"nobody-{number}", external_id=f"case-{number}")
        return api.post(URL, json=body).status_code

    with ThreadPoolExecutor(80) as callers:
        assert set(callers.map(send, range(80))) == {202}


def test_the_same_request_many_times_at_once_is_one_request(
    api: TestClient, model: str, runtime: Runtime
) -> None:
    def send(_: int) -> tuple[int, str]:
        answer = api.post(
            URL, json=submission("ada", external_id="once"), headers={"Idempotency-Key": "once"}
        )
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(100) as callers:
        answers = set(callers.map(send, range(1_000)))
    assert len(answers) == 1 and next(iter(answers))[0] == 202
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ErasureRequest)) == 1


def test_a_certificate_of_a_search_names_exactly_the_datasets_that_were_searched(
    api: TestClient, model: str, runtime: Runtime
) -> None:
    with runtime.database.write() as session:
        other = add_dataset(runtime, session, people(zoe=2), name="other")
        chosen = add_model(session, other, name="other")
        add_dataset(runtime, session, people(ada=1), name="of no model")
    scoped = api.post(URL, json=submission("ada", models=[f"mdl_{chosen.id.hex}"])).json()
    assert (scoped["outcome"], scoped["reason_code"]) == ("no_match", "no_samples")
    unscoped = api.post(URL, json=submission("nobody")).json()
    with runtime.database.read() as session:
        payloads = [
            json.loads(payload)["predicate"]
            for payload in session.scalars(select(Certificate.payload).order_by(Certificate.id))
        ]
    searched = {one["request"]: len(one["searched"]) for one in payloads}
    assert searched == {scoped["id"]: 1, unscoped["id"]: 2}
    assert payloads[0]["searched"][0]["dataset"] == f"dst_{other.id.hex}"
    assert "named the models that it concerns (1)" in payloads[0]["limits"][0]
