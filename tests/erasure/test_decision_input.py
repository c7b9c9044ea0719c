"""What the calls that decide take, and what they answer to anything else."""

from typing import Any

import pytest

from app.ids import new_id, request_id
from app.keys.scopes import ALL_SCOPES, Scope
from tests.conftest import MakeKey
from tests.erasure.conftest import URL, Cases

GOOD: dict[str, dict[str, Any] | None] = {
    "approve": None,
    "refuse": {"reason_code": "legal_claims"},
    "hold": {"reason": "legal_hold"},
    "resume": None,
    "extend": {"reason": "complexity", "notified_at": "2026-03-05T12:00:00Z"},
}
PAST = "2020-01-01T00:00:00Z"


def post(cases: Cases, request: str, action: str, body: Any, key: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    sent = {} if body is None else {"json": body}
    return cases.api.post(f"{URL}/{request}/{action}", headers=headers, **sent)


@pytest.mark.parametrize("action", GOOD)
def test_deciding_needs_its_scope_and_no_other_gives_it(
    cases: Cases, make_key: MakeKey, action: str
) -> None:
    request = cases.submit("ada")
    others = [scope for scope in ALL_SCOPES if scope is not Scope.REQUESTS_DECIDE]
    answer = post(cases, request, action, GOOD[action], make_key(*others))
    assert answer.status_code == 403
    assert answer.json()["type"].endswith(":missing-scope")
    assert cases.state(request) == "scheduled"


@pytest.mark.parametrize("action", GOOD)
def test_another_controller_s_request_is_answered_as_an_unknown_one(
    cases: Cases, make_key: MakeKey, action: str
) -> None:
    request = cases.submit("ada")
    foreign = post(cases, request, action, GOOD[action], make_key(controller="other"))
    unknown = post(cases, request_id(new_id()), action, GOOD[action])
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() == unknown.json()
    assert cases.state(request) == "scheduled"


@pytest.mark.parametrize("action", GOOD)
def test_an_id_of_another_kind_is_refused(cases: Cases, action: str) -> None:
    assert post(cases, "run_" + "0" * 32, action, GOOD[action]).status_code == 422


WRONG: list[tuple[str, str, Any, str]] = [
    ("refuse", "reason_code", "because", "must be one of"),
    ("refuse", "reason_code", None, "must be one of"),
    ("refuse", "note", "", "must have at least 1 characters"),
    ("refuse", "note", "   ", "must have at least 1 characters"),
    ("refuse", "note", "x" * 1001, "must have at most 1000 characters"),
    ("refuse", "note", "bell \x07", "does not have the required form"),
    ("refuse", "note", "turned \u202e", "does not have the required form"),
    ("refuse", "note", "next \u2029 paragraph", "does not have the required form"),
    ("refuse", "note", 7, "must be a string"),
    ("refuse", "item", "itm_" + "0" * 32, "unknown field"),
    ("hold", "reason", "identity_not_verified", "must be one of"),
    ("hold", "reason", None, "must be one of"),
    ("hold", "until", "2030-01-01T00:00:00", "must be a time with a zone"),
    ("hold", "until", "next week", "must be a time with a zone"),
    ("hold", "until", PAST, "must lie in the future"),
    ("hold", "until", "9999-12-31T23:59:59-23:59", "between the years 1900 and 9000"),
    ("hold", "until", "8999-12-31T23:59:59Z", "within a year"),
    ("hold", "note", "x" * 1001, "must have at most 1000 characters"),
    ("hold", "reason_code", "legal_claims", "unknown field"),
    ("extend", "reason", "holidays", "must be one of"),
    ("extend", "reason", None, "must be one of"),
    ("extend", "notified_at", None, "must be a time with a zone"),
    ("extend", "notified_at", "2026-03-05T12:00:00", "must be a time with a zone"),
    ("extend", "notified_at", "soon", "must be a time with a zone"),
    ("extend", "notified_at", "0001-01-01T00:00:00+23:59", "between the years 1900 and 9000"),
    ("extend", "notified_at", "1900-01-01T00:00:00+23:59", "before the request"),
    ("extend", "evidence_sha256", "C0FFEE" + "0" * 58, "does not have the required form"),
    ("extend", "evidence_sha256", "c0ffee", "does not have the required form"),
    ("extend", "letter", "Dear Ada", "unknown field"),
]


@pytest.mark.parametrize(("action", "field", "value", "says"), WRONG)
def test_a_wrong_field_is_named_and_never_repeated(
    cases: Cases, action: str, field: str, value: Any, says: str
) -> None:
    request = cases.submit("ada")
    before = cases.get(request)
    answer = post(cases, request, action, {**(GOOD[action] or {}), field: value})
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    # What was made up has no place in the path.
    assert error["field"].removeprefix("body").strip(".") in (field, "")
    assert says in error["message"]
    if isinstance(value, str) and value.strip():
        assert value not in answer.text
    assert cases.get(request) == before


@pytest.mark.parametrize(
    ("action", "field"),
    [
        ("refuse", "reason_code"),
        ("hold", "reason"),
        ("extend", "reason"),
        ("extend", "notified_at"),
    ],
)
def test_what_is_missing_is_named(cases: Cases, action: str, field: str) -> None:
    request = cases.submit("ada")
    body = {name: value for name, value in (GOOD[action] or {}).items() if name != field}
    answer = post(cases, request, action, body)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [f"body.{field}"]


@pytest.mark.parametrize("action", ["refuse", "hold", "extend"])
@pytest.mark.parametrize("body", [None, [], "text", 1])
def test_a_body_that_is_no_object_is_refused(cases: Cases, action: str, body: Any) -> None:
    request = cases.submit("ada")
    assert post(cases, request, action, body).status_code == 422
    assert cases.state(request) == "scheduled"


def test_a_note_may_have_several_lines(cases: Cases) -> None:
    request = cases.submit("ada")
    answer = cases.refuse(request, note="First line.\nSecond line.")
    assert answer.json()["decisions"][0]["note"] == "First line.\nSecond line."


def test_whoever_reads_requests_of_the_controller_reads_the_note(
    cases: Cases, make_key: MakeKey
) -> None:
    request = cases.submit("ada")
    cases.hold(request, note="Asked the court.")
    reader = {"Authorization": f"Bearer {make_key(Scope.REQUESTS_READ)}"}
    (decision,) = cases.api.get(f"{URL}/{request}", headers=reader).json()["decisions"]
    assert decision["note"] == "Asked the court."
    listed = cases.api.get(URL, headers=reader).text
    assert "court" not in listed
