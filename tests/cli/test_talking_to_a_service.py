"""Commands that use a running service, here one that answers what the test has prepared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.cli import connection, erasing, registering
from client import LotusClient
from tests.cli.conftest import Result
from tests.client.service import PROBLEM, REQUEST, answering

LotusHere = Callable[..., Result]
ITEM = {
    "id": "itm_1",
    "model": "mdl_1",
    "model_name": "digits [red]resnet",
    "state": "scheduled",
    "forget_count": 100,
    "held_out_count": 0,
}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[httpx2.Request]]:
    """`service(answer, ...)`: what the commands of this test get, and the requests they sent."""

    def answers(*prepared: httpx2.Response) -> list[httpx2.Request]:
        client, seen = answering(*prepared)
        for module in (erasing, registering):
            monkeypatch.setattr(module, "connect", lambda: client)
        return seen

    return answers


Service = Callable[..., list[httpx2.Request]]


def test_without_a_key_the_command_says_which_variable_is_missing(
    lotus_here: LotusHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOTUS_API_KEY", raising=False)
    result = lotus_here("status")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: LOTUS_API_KEY is not set")


def test_address_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOTUS_API_KEY", "lot_x")
    monkeypatch.setenv("LOTUS_URL", "http://service:1/")
    client: LotusClient = connection.connect()
    assert client.base_url == "http://service:1"


def test_a_problem_is_one_line_with_title_detail_and_fields(
    service: Service, lotus_here: LotusHere
) -> None:
    service(httpx2.Response(422, json=PROBLEM))
    result = lotus_here("erase", "anna")
    assert result.code == 1
    assert result.err == (
        "error: The request does not fit the schema (422): One or more fields are missing or not "
        "valid. [subjects.0.type: is not valid]\n"
    )


def test_a_problem_is_a_document_where_json_was_asked_for(
    service: Service, lotus_here: LotusHere
) -> None:
    service(httpx2.Response(422, json=PROBLEM))
    result = lotus_here("erase", "anna", "--json")
    assert result.code == 1
    assert result.document == {"error": PROBLEM}


def test_erase_sends_the_identity_with_its_type_and_form(
    service: Service, lotus_here: LotusHere
) -> None:
    seen = service(httpx2.Response(202, json=REQUEST))
    assert lotus_here("erase", "0" * 64, "--type", "email", "--sha256").code == 0
    assert json.loads(seen[0].content)["subjects"] == [
        {"type": "email", "value": "0" * 64, "format": "sha256"}
    ]


def test_erase_reads_the_identity_from_the_standard_input(
    service: Service, lotus_here: LotusHere, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "in").write_text("anna@example.org\n")
    seen = service(httpx2.Response(202, json=REQUEST))
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        lotus_here("erase", "-", "--type", "email")
    assert json.loads(seen[0].content)["subjects"][0]["value"] == "anna@example.org"


DISTURBING = "digits \x1b[2J\x9b31m\u202e\u2028\x07\r net"
WRITTEN_OUT = r"digits \x1b[2J\x9b31m\u202e\u2028\x07\r net"


def test_what_the_service_says_does_nothing_to_a_terminal(
    service: Service, lotus_here: LotusHere
) -> None:
    item = {**ITEM, "model_name": DISTURBING}
    service(httpx2.Response(200, json={**REQUEST, "items": [item]}))
    shown = lotus_here("status", str(REQUEST["id"]))
    assert WRITTEN_OUT in shown.out
    ended = {**REQUEST, "state": "completed", "items": [item]}
    service(httpx2.Response(202, json=REQUEST), httpx2.Response(200, json=ended))
    followed = lotus_here("erase", "anna", "--follow")
    service(httpx2.Response(422, json={**PROBLEM, "title": DISTURBING, "detail": DISTURBING}))
    refused = lotus_here("erase", "anna")
    assert refused.err.count(WRITTEN_OUT) == 2
    service(httpx2.Response(200, json={**REQUEST, "items": [item]}))
    document = lotus_here("status", str(REQUEST["id"]), "--json")
    assert document.document["items"][0]["model_name"] == DISTURBING
    for result in (shown, followed, refused, document):
        assert not set("\x1b\x9b\u202e\u2028\x07\r") & set(result.out + result.err)


@pytest.mark.parametrize(("last", "code"), [("completed", 0), ("needs_decision", 1), ("failed", 1)])
def test_following_succeeds_only_if_the_request_completed(
    service: Service, lotus_here: LotusHere, last: str, code: int
) -> None:
    ended = {**REQUEST, "state": last, "items": [ITEM]}
    service(httpx2.Response(202, json=REQUEST), httpx2.Response(200, json=ended))
    result = lotus_here("erase", "anna", "--follow", "--json")
    assert result.code == code
    assert result.document["state"] == last


def test_square_brackets_in_a_name_are_printed_as_they_are(
    service: Service, lotus_here: LotusHere
) -> None:
    service(httpx2.Response(200, json={**REQUEST, "items": [ITEM]}))
    assert "digits [red]resnet" in lotus_here("status", str(REQUEST["id"])).out


def test_status_without_an_id_lists_requests(service: Service, lotus_here: LotusHere) -> None:
    service(httpx2.Response(200, json={"items": [REQUEST], "next_cursor": None}))
    assert str(REQUEST["id"]) in lotus_here("status").out


DATASET: dict[str, Any] = {
    "id": "dst_1",
    "name": "digits",
    "task": "image_classification",
    "state": "ready",
    "created_at": "2026-01-31T12:00:00Z",
}
MODEL = {**DATASET, "id": "mdl_1", "dataset": "dst_1", "architecture": "mlp"}
ARTIFACT = {"sha256": "0" * 64, "size": 4, "media_type": "x/y", "state": "staged"}


def test_a_dataset_folder_is_uploaded_registered_and_waited_for(
    service: Service, lotus_here: LotusHere, tmp_path: Path
) -> None:
    about = {
        "name": "digits",
        "task": "image_classification",
        "class_names": ["0", "1"],
        "subject_columns": [{"column": "customer_id"}],
        "manifest": "rows.parquet",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    (tmp_path / "rows.parquet").write_bytes(b"rows")
    checking = {**DATASET, "state": "checking"}
    seen = service(
        httpx2.Response(201, json=ARTIFACT),
        httpx2.Response(202, json=checking),
        httpx2.Response(200, json=DATASET),
    )
    result = lotus_here("datasets", "register", str(tmp_path), "--json")
    assert (result.code, result.document["state"]) == (0, "ready")
    assert seen[0].content == b"rows"
    assert json.loads(seen[1].content) == {
        "on_suppressed": "flag",
        "name": "digits",
        "task": "image_classification",
        "artifact": "0" * 64,
        "class_names": ["0", "1"],
        "subject_columns": [{"column": "customer_id"}],
    }


def test_a_model_finds_its_dataset_by_name(
    service: Service, lotus_here: LotusHere, tmp_path: Path
) -> None:
    about = {"name": "m", "dataset": "other", "architecture": "mlp", "config": {"num_classes": 2}}
    (tmp_path / "model.json").write_text(json.dumps(about))
    (tmp_path / "model.safetensors").write_bytes(b"tensors")
    seen = service(
        httpx2.Response(200, json={"items": [DATASET], "next_cursor": None}),
        httpx2.Response(201, json=ARTIFACT),
        httpx2.Response(202, json={**MODEL, "state": "checking"}),
        httpx2.Response(200, json=MODEL),
    )
    result = lotus_here("models", "register", str(tmp_path), "--dataset", "digits", "--json")
    assert result.code == 0
    assert json.loads(seen[2].content)["dataset"] == "dst_1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there"),
        ("{", "cannot be read as JSON"),
        ("[]", "must hold a JSON object"),
        ('{"name": "digits"}', "is not there"),
    ],
)
def test_a_description_that_cannot_be_used_is_one_line(
    service: Service, lotus_here: LotusHere, tmp_path: Path, content: str | None, message: str
) -> None:
    service()
    if content is not None:
        (tmp_path / "dataset.json").write_text(content)
    result = lotus_here("datasets", "register", str(tmp_path))
    assert result.code == 1
    assert message in result.err and "Traceback" not in result.err


RECIPIENT = {
    "key": "key_1",
    "name": "phone app",
    "version": "ver_1",
    "number": 3,
    "sha256": "0" * 64,
    "first_at": "2026-01-31T12:00:00Z",
    "last_at": "2026-01-31T12:00:00Z",
    "count": 2,
}


def test_recipients_of_a_model_are_found_by_its_name(
    service: Service, lotus_here: LotusHere
) -> None:
    seen = service(
        httpx2.Response(200, json={"items": [MODEL], "next_cursor": None}),
        httpx2.Response(200, json={"items": [RECIPIENT], "next_cursor": None}),
    )
    shown = lotus_here("models", "recipients", "digits")
    assert shown.code == 0
    assert "phone app" in shown.out
    assert seen[1].url.path == "/api/v1/models/mdl_1/recipients"


@pytest.mark.parametrize("command", ["recipients", "rechecks"])
def test_a_model_is_named_by_its_id_without_a_look_at_the_others(
    service: Service, lotus_here: LotusHere, command: str
) -> None:
    seen = service(httpx2.Response(200, json={"items": [], "next_cursor": None}))
    assert lotus_here("models", command, "mdl_1").code == 0
    assert [one.url.path for one in seen] == [f"/api/v1/models/mdl_1/{command}"]


def test_rechecks_of_a_model_are_found_by_its_name(service: Service, lotus_here: LotusHere) -> None:
    seen = service(
        httpx2.Response(200, json={"items": [MODEL], "next_cursor": None}),
        httpx2.Response(200, json={"items": [], "next_cursor": None}),
    )
    assert lotus_here("models", "rechecks", "digits").code == 0
    assert seen[1].url.path == "/api/v1/models/mdl_1/rechecks"


def test_recipients_of_a_model_that_is_not_there_are_one_line(
    service: Service, lotus_here: LotusHere
) -> None:
    service(httpx2.Response(200, json={"items": [], "next_cursor": None}))
    refused = lotus_here("models", "recipients", "digits")
    assert (refused.code, refused.err) == (1, "error: no model is named digits\n")


RECHECK = {
    "id": "rck_" + "0" * 32,
    "model": "mdl_1",
    "version": {"id": "ver_3", "number": 3, "sha256": "0" * 64},
    "trigger": "new_version",
    "state": "done",
    "attempt": 1,
    "case_count": 2,
    "relapsed_count": 1,
    "pooled": {"difference": 0.21, "standard_error": 0.03, "lower_99": 0.14, "alarm": True},
    "created_at": "2026-01-31T12:00:00Z",
    "cases": [
        {
            "request": REQUEST["id"],
            "samples": 100,
            "change": 0.31,
            "standard_error": 0.04,
            "q": 0.0001,
            "relapsed": True,
            "skipped": None,
        },
        {
            "request": "req_2",
            "samples": None,
            "change": None,
            "standard_error": None,
            "q": None,
            "relapsed": False,
            "skipped": "resting_version_destroyed",
        },
    ],
}


def test_re_checks_of_a_model_are_one_line_each(service: Service, lotus_here: LotusHere) -> None:
    seen = service(httpx2.Response(200, json={"items": [RECHECK], "next_cursor": None}))
    result = lotus_here("models", "rechecks", "mdl_1")
    assert result.code == 0
    assert seen[0].url.path == "/api/v1/models/mdl_1/rechecks"
    assert "+0.210 (se 0.030)" in result.out and "yes" in result.out


def test_a_re_check_shows_each_case_and_why_one_was_not_compared(
    service: Service, lotus_here: LotusHere
) -> None:
    service(httpx2.Response(200, json=RECHECK))
    result = lotus_here("status", RECHECK["id"])
    assert result.code == 0
    assert "+0.310 (se 0.040)" in result.out and "relapsed" in result.out
    assert "resting_version_destroyed" in result.out


def test_a_request_says_that_it_was_reopened_and_what_its_last_re_check_found(
    service: Service, lotus_here: LotusHere
) -> None:
    last = {"recheck": "rck_1", "version": "ver_3", "state": "done"}
    items = [
        {**ITEM, "id": "itm_1", "last_recheck": {**last, "change": 0.31, "relapsed": True}},
        {**ITEM, "id": "itm_2", "last_recheck": {**last, "change": 0.01}},
    ]
    why = {"reopened_at": "2026-02-01T12:00:00Z", "reopened_for": "relapsed"}
    service(httpx2.Response(200, json={**REQUEST, **why, "items": items}))
    result = lotus_here("status", REQUEST["id"])
    assert "reopened: relapsed, 2026-02-01 12:00 UTC" in result.out
    assert "relapsed, +0.310" in result.out and "held, +0.010" in result.out
