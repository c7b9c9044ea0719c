"""Requests as a file: the same rows as the list, whole or visibly cut, and never unnoticed."""

import csv
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.audit.tables import PendingEntry
from app.erasure import exporting, listing
from app.erasure.export_rows import COLUMNS, safe_cell
from app.erasure.states import RequestState
from app.erasure.tables import Regulation
from app.keys.scopes import Scope
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import URL, Cases
from tests.erasure.test_listing import Planted, rows_of
from tests.listening import listening

EXPORT = f"{URL}/export"
SECRET = "jane.doe@secret.example"


@pytest.fixture
def planted(runtime: Runtime) -> Planted:
    return Planted(runtime)


@pytest.fixture
def address(api: TestClient) -> Iterator[str]:
    with listening(api.app) as url:  # type: ignore[arg-type]
        yield url


def entries(runtime: Runtime) -> list[dict[str, Any]]:
    """Of exports, in the audit log."""
    query = select(PendingEntry.body).where(PendingEntry.kind.startswith("erasure:export"))
    with runtime.database.read() as session:
        bodies = session.scalars(query.order_by(PendingEntry.id)).all()
    return [json.loads(body) for body in bodies]


def test_lines_of_json_are_the_rows_of_the_list(
    api: TestClient, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PAGE", 7)
    states = list(RequestState)
    planted.add(45, state=lambda n: states[n % 10], external_id=lambda n: f"c-{n}")
    answer = api.get(EXPORT, params={"format": "ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    *rows, end = [json.loads(line) for line in answer.text.splitlines()]
    assert end == {"end": True, "rows": 45}
    shown = rows_of(api)
    assert [{**row, "waits_for": None} for row in rows] == [
        {**row, "waits_for": None} for row in shown
    ]


def test_the_table_has_a_column_for_each_fact_and_ends_with_a_count(
    api: TestClient, planted: Planted
) -> None:
    (done,) = planted.add(1, state=RequestState.COMPLETED)
    (waiting,) = planted.add(1, external_id="case-1")
    answer = api.get(EXPORT)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="erasure-requests.csv"'
    heading, *rows, end = list(csv.reader(io.StringIO(answer.text)))
    assert heading == COLUMNS and end == ["#end", "2"]
    first, second = (dict(zip(heading, row, strict=True)) for row in rows)
    assert (first["id"], first["external_id"], first["waits_for_by"]) == (
        waiting,
        "case-1",
        "worker",
    )
    assert (second["id"], second["outcome"], second["waits_for_by"], second["overdue"]) == (
        done,
        "no_match",
        "",
        "false",
    )


@pytest.mark.parametrize("number", ["=1+1", "+1", "-1", "@SUM(1)", "=cmd|'/c'!A0"])
def test_a_case_number_is_never_a_formula(api: TestClient, planted: Planted, number: str) -> None:
    planted.add(1, external_id=number)
    _, row, _ = list(csv.reader(io.StringIO(api.get(EXPORT).text)))
    assert row[1] == f"'{number}"
    line = api.get(EXPORT, params={"format": "ndjson"}).text.splitlines()[0]
    assert json.loads(line)["external_id"] == number


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_what_begins_a_formula_gets_an_apostrophe(begin: str) -> None:
    assert safe_cell(f"{begin}1") == f"'{begin}1"
    assert safe_cell(f"1{begin}") == f"1{begin}"


@pytest.mark.parametrize("end", [";", ";;", "\t", "\r\n"])
@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@x", '"=1"', " =1"])
def test_a_formula_behind_another_separator_gets_one_too(end: str, formula: str) -> None:
    """Programs that were set up for semicolons split a cell where this service does not."""
    assert safe_cell(f"a{end}{formula}") == f"a{end}'{formula}"
    assert safe_cell(f"a{end}b{formula}") == f"a{end}b{formula}"


def test_filters_are_those_of_the_list(
    api: TestClient, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SCANNED", 9)
    planted.add(
        40,
        state=lambda n: list(RequestState)[n % 10],
        regulation=lambda n: list(Regulation)[n % 2],
        model=lambda n: planted.models[n % 2],
    )
    for wanted in (
        {"state": ["failed", "running"]},
        {"regulation": "ccpa"},
        {"overdue": "true", "regulation": "gdpr"},
        {"model": f"mdl_{planted.models[1].hex}"},
        {"external_id": "none"},
    ):
        lines = api.get(EXPORT, params={"format": "ndjson", **wanted}).text.splitlines()
        found = [json.loads(line)["id"] for line in lines[:-1]]
        assert found == [row["id"] for row in rows_of(api, **wanted)], wanted


def test_an_export_is_in_the_log_before_its_rows_and_with_their_number(
    api: TestClient, planted: Planted, runtime: Runtime
) -> None:
    planted.add(3, external_id=lambda n: f"case-{n}")
    api.get(EXPORT, params={"external_id": "case-1"})
    api.get(EXPORT, params={"external_id": "case-2"})
    api.get(EXPORT, params={"external_id": "case-2", "format": "ndjson"})
    begun, ended, other, _, same, _ = entries(runtime)
    assert (begun["kind"], begun["facts"]["form"]) == ("erasure:export:begun", "csv")
    assert begun["facts"]["export"] == ended["facts"]["export"]
    assert (ended["facts"]["rows"], ended["facts"]["complete"]) == (1, True)
    digests = [one["facts"]["filter_digest"] for one in (begun, other, same)]
    assert digests[0] != digests[1] == digests[2]
    assert "case-1" not in json.dumps(entries(runtime))


def test_a_fault_on_the_way_breaks_the_connection_and_leaves_no_last_line(
    address: str,
    api: TestClient,
    planted: Planted,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporting, "PAGE", 10)
    planted.add(40)
    fail_after_pages(monkeypatch, 2)
    for form in ("csv", "ndjson"):
        with httpx2.Client(headers=api.headers) as client:
            heard = b""
            with (
                pytest.raises(httpx2.RemoteProtocolError),
                client.stream("GET", f"{address}{EXPORT}?format={form}") as answer,
            ):
                for piece in answer.iter_raw():
                    heard += piece
        assert heard.count(b"req_") == 20 and b"end" not in heard.splitlines()[-1]
        assert (
            entries(runtime)[-1]["facts"] | {"rows": 20, "complete": False}
            == (entries(runtime)[-1]["facts"])
        )
        fail_after_pages(monkeypatch, 2)
    assert taken(api) == 0


def fail_after_pages(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    monkeypatch.setattr(listing, "page", _whole)
    seen = [0]

    def failing(*arguments: Any, **rest: Any) -> Any:
        seen[0] += 1
        if seen[0] > pages:
            raise RuntimeError("the database went away")
        return _whole(*arguments, **rest)

    monkeypatch.setattr(listing, "page", failing)


_whole = listing.page


def taken(api: TestClient) -> int:
    total: int = api.app.state.export_slots._taken.total()  # type: ignore[attr-defined]
    return total


def test_a_caller_who_goes_away_ends_the_export(
    address: str,
    api: TestClient,
    planted: Planted,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest is neither read nor kept for him."""
    monkeypatch.setattr(exporting, "PAGE", 5)
    planted.add(1000)
    pages = [0]

    def counted(*arguments: Any, **rest: Any) -> Any:
        pages[0] += 1
        if pages[0] > 3:
            assert eventually(lambda: closed)
        return _whole(*arguments, **rest)

    monkeypatch.setattr(listing, "page", counted)
    closed: list[bool] = []
    with (
        httpx2.Client(headers=api.headers) as client,
        client.stream("GET", address + EXPORT) as answer,
    ):
        next(answer.iter_raw())
    closed.append(True)
    assert eventually(lambda: taken(api) == 0)
    ended = entries(runtime)[-1]
    assert ended["kind"] == "erasure:export:ended" and ended["facts"]["complete"] is False
    assert pages[0] < 100


def eventually(holds: Any) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


def test_a_key_that_is_revoked_meanwhile_gets_no_further_row(
    address: str,
    api: TestClient,
    planted: Planted,
    make_key: MakeKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporting, "PAGE", 5)
    planted.add(40)
    (own,) = api.get("/api/v1/keys").json()["items"]

    admin = {"Authorization": f"Bearer {make_key()}"}

    def revoking(*arguments: Any, **rest: Any) -> Any:
        found = _whole(*arguments, **rest)
        assert api.delete(f"/api/v1/keys/{own['id']}", headers=admin).status_code < 300
        return found

    monkeypatch.setattr(listing, "page", revoking)
    with httpx2.Client(headers=dict(api.headers)) as client:
        heard = b""
        with (
            pytest.raises(httpx2.RemoteProtocolError),
            client.stream("GET", address + EXPORT) as answer,
        ):
            for piece in answer.iter_raw():
                heard += piece
    assert heard.count(b"req_") == 5


def test_only_so_many_exports_of_one_key_run_at_a_time(api: TestClient, planted: Planted) -> None:
    slots = api.app.state.export_slots  # type: ignore[attr-defined]
    (own,) = api.get("/api/v1/keys").json()["items"]
    free = [slots.take(own["id"].removeprefix("key_")) for _ in range(2)]
    refused = api.get(EXPORT)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    free[0]()
    assert api.get(EXPORT).status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"format": SECRET}, "query.format"),
        ({"format": ["csv", "ndjson"]}, "query.format"),
        ({"state": SECRET}, "query.state.0"),
        ({"limit": 5}, "query"),
        ({SECRET: "1"}, "query"),
    ],
)
def test_a_faulty_query_is_refused_and_not_logged(
    api: TestClient, runtime: Runtime, query: dict[str, Any], field: str
) -> None:
    answer = api.get(EXPORT, params=query)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "jane" not in answer.text and entries(runtime) == []


def test_another_controller_s_requests_are_in_no_export(cases: Cases, make_key: MakeKey) -> None:
    cases.submit("ada", external_id="c-1")
    foreign = {"Authorization": f"Bearer {make_key(controller='other')}"}
    assert cases.api.get(EXPORT, headers=foreign).text.splitlines()[1:] == ["#end,0"]
    others = [scope for scope in Scope if scope is not Scope.REQUESTS_READ]
    headers = {"Authorization": f"Bearer {make_key(*others)}"}
    assert cases.api.get(EXPORT, headers=headers).status_code == 403
