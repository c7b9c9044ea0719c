"""A file of requests over HTTP."""

import json
import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from app.config import Settings
from app.erasure import bulk, bulk_endpoints, intake
from app.erasure.tables import ErasureRequest
from app.http import exchange
from app.http.sessions import clock
from app.keys.scopes import Scope
from app.main import create_app
from app.runtime import Runtime
from app.schema import metadata
from tests.conftest import MakeKey
from tests.erasure.conftest import URL, Cases
from tests.erasure.factories import submission
from tests.listening import listening

BULK = f"{URL}/bulk"
TABLE = {"Content-Type": "text/csv"}
LINES = {"Content-Type": "application/x-ndjson"}
HEADING = "external_id,subject_value,regulation\n"


def send(api: TestClient, body: str | bytes, headers: dict[str, str] = TABLE) -> Any:
    return api.post(BULK, content=body, headers=headers)


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def answers(api: TestClient, body: str | bytes, headers: dict[str, str] = TABLE) -> Any:
    """The answers of the rows, and the summary."""
    answer = send(api, body, headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    *rows, summary = lines_of(answer.text)
    assert summary["end"] is True
    return rows, summary


def ndjson(*bodies: dict[str, Any]) -> str:
    return "".join(json.dumps(body) + "\n" for body in bodies)


def count(runtime: Runtime) -> int:
    with runtime.database.read() as session:
        return session.scalars(select(func.count()).select_from(ErasureRequest)).one()


@pytest.fixture
def address(cases: Cases) -> Iterator[str]:
    with listening(cases.api.app) as url:  # type: ignore[arg-type]
        yield url


def test_each_row_is_a_request_and_the_answer_says_which(cases: Cases) -> None:
    rows, summary = answers(cases.api, HEADING + "c-1,ada,gdpr\nc-2,nobody,ccpa\n")
    assert [(row["row"], row["status"], row["state"]) for row in rows] == [
        (1, "accepted", "scheduled"),
        (2, "accepted", "completed"),
    ]
    assert [cases.get(row["id"])["external_id"] for row in rows] == ["c-1", "c-2"]
    assert cases.get(rows[1]["id"])["regulation"] == "ccpa"
    assert summary == {
        "end": True,
        "complete": True,
        "rows": 2,
        "accepted": 2,
        "repeated": 0,
        "invalid": 0,
        "conflict": 0,
        "failed": 0,
    }


def test_a_file_sent_again_is_only_repeated(cases: Cases, runtime: Runtime) -> None:
    file = HEADING + "".join(f"c-{n},ada,gdpr\n" for n in range(120))
    first, _ = answers(cases.api, file)
    again, summary = answers(cases.api, file)
    assert {row["status"] for row in again} == {"repeated"}
    assert [row["id"] for row in again] == [row["id"] for row in first]
    assert (summary["repeated"], summary["accepted"]) == (120, 0)
    assert count(runtime) == 120


def test_the_same_request_is_a_repeat_in_whatever_form_it_comes(
    cases: Cases, runtime: Runtime
) -> None:
    single = cases.submit("ada", external_id="c-1")
    rows, _ = answers(cases.api, HEADING + "c-1,ada,gdpr\n")
    assert (rows[0]["status"], rows[0]["id"]) == ("repeated", single)
    rows, _ = answers(cases.api, ndjson(submission("ada", external_id="c-1")), LINES)
    assert (rows[0]["status"], rows[0]["id"]) == ("repeated", single)
    answers(cases.api, HEADING + "c-2,ben,gdpr\n")
    assert cases.submit("ben", external_id="c-2")
    assert count(runtime) == 2


def test_one_row_s_fault_fails_no_other(cases: Cases) -> None:
    cases.submit("ada", external_id="taken")
    file = ndjson(
        submission("ada", external_id="c-1"),
        submission("ben", external_id="taken"),
        submission("ada", external_id="ada"),
        {"external_id": "c-4", "subjects": [{"type": "email", "value": "x"}], "regulation": "gdpr"},
        submission("ada", external_id="c-5", models=[f"mdl_{'0' * 32}"]),
        submission("ada", external_id="c-6", submitted_at="1999-01-01T00:00:00Z"),
        submission("ada", external_id="c-7", submitted_at="0001-01-01T00:00:00+14:00"),
        submission("ada"),
        submission("ben", external_id="c-9"),
    )
    rows, summary = answers(cases.api, file, LINES)
    codes = [row["problem"]["type"].rpartition(":")[2] for row in rows if "problem" in row]
    assert codes == [
        "external-id-taken",
        "external-id-names-person",
        "identity-type-not-indexed",
        "unknown-model",
        "invalid-input",
        "invalid-input",
        "invalid-input",
    ]
    assert [row["status"] for row in rows] == [
        "accepted",
        "conflict",
        *["invalid"] * 6,
        "accepted",
    ]
    assert (summary["accepted"], summary["invalid"], summary["conflict"]) == (2, 6, 1)
    assert rows[7]["problem"]["errors"] == [{"field": "external_id", "message": "is required"}]


def test_a_case_number_that_stands_in_the_file_twice_is_one_request_or_a_conflict(
    cases: Cases, runtime: Runtime
) -> None:
    rows, _ = answers(cases.api, HEADING + "c-1,ada,gdpr\nc-1,ada,gdpr\nc-1,ben,gdpr\n")
    assert [row["status"] for row in rows] == ["accepted", "repeated", "conflict"]
    assert count(runtime) == 1


def test_a_fault_of_ours_in_one_row_fails_no_other(
    cases: Cases, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = intake.submit_all

    def faulty(session: Any, keyring: Any, controller: Any, wanted: Any) -> Any:
        found = whole(session, keyring, controller, wanted)
        if any(one.submission.external_id == "c-2" for one in wanted):
            raise RuntimeError("jane.doe@secret.example")
        return found

    monkeypatch.setattr(intake, "submit_all", faulty)
    rows, summary = answers(cases.api, HEADING + "c-1,ada,gdpr\nc-2,ben,gdpr\nc-3,cleo,gdpr\n")
    assert [row["status"] for row in rows] == ["accepted", "failed", "accepted"]
    assert summary["complete"] is True and count(runtime) == 2


def test_rows_whose_transaction_was_refused_are_tried_again(
    cases: Cases, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = refuse_transactions(monkeypatch, times=2)
    rows, summary = answers(cases.api, HEADING + "c-1,ada,gdpr\nc-2,ben,gdpr\n")
    assert [row["status"] for row in rows] == ["accepted", "accepted"]
    assert summary["complete"] is True and len(refused) == 2


def test_without_the_database_the_file_ends_with_what_was_committed(
    cases: Cases, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = HEADING + "".join(f"c-{n},ada,gdpr\n" for n in range(70))
    refuse_transactions(monkeypatch, times=99, after=60)
    rows, summary = answers(cases.api, file)
    assert [row["row"] for row in rows] == list(range(1, 51))
    assert (summary["complete"], summary["rows"], summary["accepted"]) == (False, 50, 50)
    assert summary["problem"]["type"].endswith(":unavailable")
    assert count(runtime) == 50
    monkeypatch.undo()
    rows, summary = answers(cases.api, file)
    assert (summary["repeated"], summary["accepted"]) == (50, 20)


def refuse_transactions(
    monkeypatch: pytest.MonkeyPatch, *, times: int, after: int = 0
) -> list[int]:
    """The database goes away in the middle of a transaction."""
    monkeypatch.setattr(bulk, "PAUSE_SECONDS", 0.01)
    whole = intake.submit_all
    rows, refused = [0], [0][:0]

    def sometimes(session: Any, keyring: Any, controller: Any, wanted: Any) -> Any:
        rows[0] += len(wanted)
        if rows[0] > after and len(refused) < times:
            refused.append(rows[0])
            raise OperationalError("INSERT", None, Exception("gone"))
        return whole(session, keyring, controller, wanted)

    monkeypatch.setattr(intake, "submit_all", sometimes)
    return refused


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        (TABLE, "", 422, "invalid-input"),
        (LINES, "", 422, "invalid-input"),
        (LINES, "\n\n", 422, "invalid-input"),
        (TABLE, HEADING, 422, "invalid-input"),
        (TABLE, "\ufeff", 422, "invalid-input"),
        (TABLE, "a,b\n1,2\n", 422, "bad-columns"),
        (TABLE, HEADING.encode("utf-16"), 422, "bad-columns"),
        ({"Content-Type": "application/json"}, "[]", 415, "unsupported-media-type"),
        ({"Content-Type": "text/csv; charset=latin-1"}, "", 415, "unsupported-media-type"),
        ({**TABLE, "Content-Encoding": "gzip"}, "", 415, "unsupported-media-type"),
        ({}, "", 415, "unsupported-media-type"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_refused_as_a_whole(
    cases: Cases, headers: dict[str, str], body: str | bytes, status: int, code: str
) -> None:
    answer = send(cases.api, body, headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["type"].endswith(f":{code}")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_file_with_too_many_rows_says_where_it_stopped(
    cases: Cases, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST_ROWS", 60)
    rows, summary = answers(cases.api, HEADING + "".join(f"c-{n},ada,gdpr\n" for n in range(61)))
    assert len(rows) == count(runtime) == 60
    assert (summary["complete"], summary["rows"]) == (False, 60)
    assert summary["problem"]["type"].endswith(":too-many-rows")


def test_a_file_larger_than_an_upload_may_be_is_refused(
    settings: Settings, runtime: Runtime, cases: Cases, make_key: MakeKey
) -> None:
    small = settings.model_copy(update={"max_upload_bytes": 4096, "max_body_bytes": 1024})
    key = {"Authorization": f"Bearer {make_key()}"}
    file = HEADING + "".join(f"c-{n},ada,gdpr\n" for n in range(100))
    with TestClient(create_app(small)) as api:
        assert answers(api, file, {**TABLE, **key})[1]["rows"] == 100  # larger than a body may be
        refused = send(api, file * 4, {**TABLE, **key})
        assert refused.status_code == 413
        assert refused.json()["type"].endswith(":body-too-large")


def test_it_needs_the_scope_of_a_submission(cases: Cases, make_key: MakeKey) -> None:
    others = [scope for scope in Scope if scope is not Scope.REQUESTS_WRITE]
    key = {"Authorization": f"Bearer {make_key(*others)}"}
    assert send(cases.api, HEADING + "c-1,ada,gdpr\n", {**TABLE, **key}).status_code == 403


def test_case_numbers_are_each_controller_s_own(
    cases: Cases, runtime: Runtime, make_key: MakeKey
) -> None:
    file = HEADING + "c-1,ada,gdpr\n"
    answers(cases.api, file)
    key = {"Authorization": f"Bearer {make_key(controller='other')}"}
    rows, _ = answers(cases.api, file, {**TABLE, **key})
    assert rows[0]["problem"]["type"].endswith(":nothing-registered")


def test_two_files_with_the_same_rows_in_other_orders_meet_without_harm(
    cases: Cases, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"c-{n},ada,gdpr\n" for n in range(120)]
    files = [HEADING + "".join(rows), HEADING + "".join(rows[::-1])]
    monkeypatch.setattr(bulk, "ATTEMPTS", 1)  # or else a deadlock might be made up for
    with ThreadPoolExecutor(2) as callers:
        both = list(callers.map(lambda file: answers(cases.api, file), files))
    assert all(summary["complete"] for _, summary in both)
    accepted = sum(summary["accepted"] for _, summary in both)
    repeated = sum(summary["repeated"] for _, summary in both)
    assert (accepted, repeated, count(runtime)) == (120, 120, 120)


def test_answers_come_while_the_file_is_still_being_sent(address: str, cases: Cases) -> None:
    connection = open_bulk(address, cases)
    connection.sendall(chunk(HEADING + "c-1,ada,gdpr\n"))
    heard = read_until(connection, b'"row":1,')
    assert b'"status":"accepted"' in heard and b'"end"' not in heard
    connection.sendall(chunk("c-2,ada,gdpr\n") + b"0\r\n\r\n")
    heard += read_until(connection, b'"end":true')
    assert b'"row":2,' in heard
    connection.close()


def test_a_caller_who_reads_nothing_before_he_has_sent_everything_is_answered(
    address: str, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of answers than any buffer between the two holds."""
    monkeypatch.setattr(
        bulk.Bulk, "_submitted", lambda self, rows, now: [answer_of(row) for row in rows]
    )
    padding = "x" * 3000

    def answer_of(row: Any) -> dict[str, Any]:
        return {"row": 0, "status": "accepted", "id": padding}

    file = HEADING + "".join(f"c-{n},ada,gdpr\n" for n in range(10_000))
    with httpx2.Client(timeout=60) as client:
        answer = client.post(
            address + BULK, content=file, headers={**TABLE, **authorization(cases)}
        )
    assert len(answer.content) > 30_000_000
    assert json.loads(answer.text.splitlines()[-1])["rows"] == 10_000


def test_a_caller_who_takes_no_answer_is_given_up_once_he_has_sent_everything(
    address: str, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "TAKING_SECONDS", 0.3)
    padding = "x" * 10_000
    monkeypatch.setattr(
        bulk.Bulk,
        "_submitted",
        lambda self, rows, now: [{"row": 0, "status": "accepted", "id": padding} for _ in rows],
    )
    connection = open_bulk(address, cases)
    connection.sendall(chunk(HEADING + "".join(f"c-{n},ada,gdpr\n" for n in range(3_000))))
    time.sleep(1.0)  # he is still sending: nobody gives him up
    assert not free_slots(cases)
    connection.sendall(b"0\r\n\r\n")
    assert eventually(lambda: free_slots(cases))
    connection.close()


def test_what_a_caller_who_goes_away_had_sent_stays_and_the_rest_is_only_repeated(
    address: str, cases: Cases, runtime: Runtime
) -> None:
    connection = open_bulk(address, cases)
    connection.sendall(chunk(HEADING + "".join(f"c-{n},ada,gdpr\n" for n in range(60))))
    read_until(connection, b'"row":50,')
    connection.close()
    assert eventually(lambda: free_slots(cases))
    assert 50 <= count(runtime) <= 60
    _, summary = answers(cases.api, HEADING + "".join(f"c-{n},ada,gdpr\n" for n in range(90)))
    assert summary["accepted"] + summary["repeated"] == count(runtime) == 90


@pytest.mark.parametrize("begun", [False, True])
def test_a_body_that_stops_coming_is_given_up(
    address: str, cases: Cases, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    monkeypatch.setattr(bulk_endpoints, "SILENCE_SECONDS", 0.5)
    connection = open_bulk(address, cases)
    connection.sendall(chunk(HEADING + ("c-1,ada,gdpr\n" if begun else "")))
    if begun:
        heard = read_until(connection, b'"end":true')
        assert b'"complete":false' in heard and b":body-too-slow" in heard
        assert b'"accepted":1' in heard
    else:
        assert b" 408 " in read_until(connection, b":body-too-slow").splitlines()[0]
    connection.close()
    assert eventually(lambda: free_slots(cases))


def test_a_trickle_that_completes_no_row_is_given_up(
    address: str, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_endpoints, "SILENCE_SECONDS", 1.0)
    connection = open_bulk(address, cases)
    connection.settimeout(0.05)
    connection.sendall(chunk(HEADING))
    heard = b""
    for _ in range(100):
        connection.sendall(chunk("a"))
        try:
            heard += connection.recv(4096)
        except TimeoutError:
            continue
        break
    assert b" 408 " in heard.splitlines()[0]
    connection.close()


def test_only_so_many_files_of_one_key_are_read_at_a_time(
    address: str, cases: Cases, make_key: MakeKey
) -> None:
    open_ones = [open_bulk(address, cases) for _ in range(2)]
    for one in open_ones:
        one.sendall(chunk(HEADING + "c-1,ada,gdpr\n"))
        read_until(one, b'"row":1,')
    refused = send(cases.api, HEADING + "c-2,ada,gdpr\n")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    assert refused.json()["type"].endswith(":busy")
    other = {"Authorization": f"Bearer {make_key()}"}
    assert answers(cases.api, HEADING + "c-2,ada,gdpr\n", {**TABLE, **other})[1]["rows"] == 1
    for one in open_ones:
        one.close()
    assert eventually(lambda: free_slots(cases))
    assert answers(cases.api, HEADING + "c-2,ada,gdpr\n")[1]["repeated"] == 1


def test_a_key_that_is_revoked_meanwhile_submits_no_further_row(
    address: str, cases: Cases, make_key: MakeKey
) -> None:
    admin = {"Authorization": f"Bearer {make_key()}"}
    connection = open_bulk(address, cases)
    connection.sendall(chunk(HEADING + "c-1,ada,gdpr\n"))
    read_until(connection, b'"row":1,')
    own = next(
        key["id"]
        for key in cases.api.get("/api/v1/keys", headers=admin).json()["items"]
        if authorization(cases)["Authorization"].startswith(f"Bearer {key['prefix']}")
    )
    assert cases.api.delete(f"/api/v1/keys/{own}", headers=admin).status_code < 300
    connection.sendall(chunk("c-2,ada,gdpr\n") + b"0\r\n\r\n")
    heard = read_until(connection, b'"end":true')
    assert b":not-authenticated" in heard and b'"row":2,' not in heard
    connection.close()


def test_each_row_is_received_when_it_arrives(cases: Cases) -> None:
    moments = iter([datetime(2026, 3, 5, hour, tzinfo=UTC) for hour in (12, 13)])
    app: Any = cases.api.app
    app.dependency_overrides[clock] = lambda: lambda: next(moments)
    rows, _ = answers(cases.api, HEADING + "".join(f"c-{n},ada,gdpr\n" for n in range(51)))
    received = [cases.get(rows[n]["id"])["received_at"] for n in (0, 49, 50)]
    assert received == ["2026-03-05T12:00:00Z"] * 2 + ["2026-03-05T13:00:00Z"]


CANARY = "quentin.unmistakable@canary.example"


def test_no_row_is_written_down_anywhere(
    cases: Cases, runtime: Runtime, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    """Of good rows and bad ones, nor of a file that is broken off."""
    caplog.set_level(logging.DEBUG)
    body = HEADING + f'c-1,{CANARY},gdpr\nc-2,{CANARY},{CANARY}\n{CANARY}\n"{CANARY}\n'
    text = send(cases.api, body).text
    text += send(cases.api, ndjson(submission(CANARY, external_id="c-9")) + CANARY, LINES).text
    text += send(cases.api, f"{CANARY},b\n").text
    connection = open_bulk(address, cases)
    connection.sendall(chunk(HEADING + f"c-3,{CANARY},gdpr\nc-4,{CANARY}"))
    read_until(connection, b'"row":1,')
    connection.close()
    assert eventually(lambda: free_slots(cases))
    assert CANARY not in text
    assert "quentin" not in caplog.text
    with runtime.database.read() as session:
        rows = [row for table in metadata.sorted_tables for row in session.execute(select(table))]
    assert count(runtime) == 3 and "quentin" not in repr(rows)
    assert holders(runtime.settings.data_dir) == []


def holders(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_fifo()]
    return [path for path in files if b"quentin" in path.read_bytes()]


def authorization(cases: Cases) -> dict[str, str]:
    return {"Authorization": cases.api.headers["Authorization"]}


def open_bulk(address: str, cases: Cases) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    head = (
        f"POST {BULK} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/csv\r\n"
        f"Authorization: {cases.api.headers['Authorization']}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    connection.sendall(head.encode())
    return connection


def chunk(text: str) -> bytes:
    return f"{len(text.encode()):x}\r\n{text}\r\n".encode()


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    heard = b""
    while wanted not in heard:
        more = connection.recv(65536)
        assert more, heard
        heard += more
    return heard


def free_slots(cases: Cases) -> bool:
    slots = cases.api.app.state.bulk_slots  # type: ignore[attr-defined]
    return slots._taken.total() == 0


def eventually(holds: Any) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False
