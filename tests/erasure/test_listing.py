"""Lists of requests: what each filter lets through, in what order, and at what cost."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, insert, text

from app.db import Database
from app.erasure import listing
from app.erasure.states import OPEN_REQUEST, ItemState, Outcome, RequestState
from app.erasure.tables import ErasureItem, ErasureRequest, Regulation
from app.http.pages import encode_cursor
from app.ids import new_id, request_id
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import URL, Cases, Clock
from tests.erasure.factories import add_dataset, add_model, people, submission

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rows_of(api: TestClient, **query: Any) -> list[dict[str, Any]]:
    """Every page, however short."""
    found: list[dict[str, Any]] = []
    for _ in range(10_000):
        answer = api.get(URL, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= query.get("limit", 50)
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]
    raise AssertionError("the list does not end")


def ids_of(api: TestClient, **query: Any) -> list[str]:
    return [row["id"] for row in rows_of(api, **query)]


class Planted:
    """Requests as rows, of which a test knows everything."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        with runtime.database.write() as session:
            dataset = add_dataset(runtime, session, people(ada=1))
            self.models = [add_model(session, dataset, name=f"model {n}").id for n in range(2)]
            self.controller = dataset.controller_id

    def add(self, count: int, **fields: Any) -> list[str]:
        """So many requests; a field may be a function of the request's number."""
        made = [self._row(number, fields) for number in range(count)]
        items = [
            {**_ITEM, "id": new_id(), "request_id": row["id"], "model_id": row.pop("model")}
            for row in made
        ]
        with self.runtime.database.write() as session:
            session.execute(insert(ErasureRequest), made)
            if on_models := [one for one in items if one["model_id"]]:
                session.execute(insert(ErasureItem), on_models)
        return [request_id(row["id"]) for row in made]

    def _row(self, number: int, fields: dict[str, Any]) -> dict[str, Any]:
        row: dict[str, Any] = {
            "id": new_id(),
            "controller_id": self.controller,
            "state": RequestState.SCHEDULED,
            "regulation": Regulation.GDPR,
            "external_id": None,
            "submitted_at": START,
            "received_at": START,
            "due_at": START + 31 * DAY,
            "extended_due_at": None,
            "paused": [],
            "paused_since": None,
            "body_digest": bytes(32),
            "row_version": 1,
            "created_at": START,
            "updated_at": START,
            "model": None,
        }
        row |= {k: v(number) if callable(v) else v for k, v in fields.items()}
        done = row["state"] is RequestState.COMPLETED
        return {**row, "outcome": Outcome.NO_MATCH if done else None}


_ITEM = {
    "state": ItemState.SCHEDULED,
    "forget_count": 1,
    "held_out_count": 0,
    "accepted_at": START,
    "relapses": 0,
}


@pytest.fixture
def planted(runtime: Runtime) -> Planted:
    return Planted(runtime)


def test_several_states_are_any_of_them_newest_first(api: TestClient, planted: Planted) -> None:
    states = list(RequestState)
    made = planted.add(40, state=lambda n: states[n % len(states)])
    wanted = ["failed", "completed", "received"]
    fits = [one for n, one in enumerate(made) if str(states[n % len(states)]) in wanted]
    assert ids_of(api, state=wanted, limit=5) == fits[::-1]
    assert ids_of(api, state=["failed", "failed"]) == ids_of(api, state=["failed"])


def test_what_is_due_comes_earliest_first_and_the_extended_date_counts(
    api: TestClient, planted: Planted
) -> None:
    first, last = planted.add(2, due_at=lambda n: START + (n + 1) * DAY)
    (extended,) = planted.add(1, due_at=START, extended_due_at=START + 1.5 * DAY)
    planted.add(1, due_at=START + 3 * DAY)
    before = (START + 3 * DAY).isoformat()
    assert ids_of(api, due_before=before, limit=1) == [first, extended, last]
    nobody = ids_of(api, due_before=before, state=["failed"])
    assert nobody == []


def test_many_with_one_due_date_are_paged_without_gap_or_repeat(
    api: TestClient, planted: Planted
) -> None:
    states = list(RequestState)
    made = planted.add(60, state=lambda n: states[n % 10], due_at=lambda n: START + (n // 30) * DAY)
    assert ids_of(api, due_before="2026-12-31T00:00:00Z", limit=7) == made
    changed = planted.add(23, updated_at=START + DAY)
    assert ids_of(api, updated_since=(START + DAY).isoformat(), limit=5) == changed


def test_overdue_is_what_the_summary_says(api: TestClient, planted: Planted, clock: Clock) -> None:
    clock.now = START
    states = list(RequestState)
    paused = [None, START - 3 * DAY, START - DAY]
    planted.add(
        90,
        state=lambda n: states[n % 10],
        due_at=lambda n: START + (n % 5 - 2) * DAY,
        paused_since=lambda n: paused[n % 3],
    )
    everything = rows_of(api)
    late = {row["id"] for row in everything if row["overdue"]}
    assert 5 < len(late) < 60
    found = rows_of(api, overdue=True, limit=4)
    assert {row["id"] for row in found} == late and len(found) == len(late)
    assert [row["due_at"] for row in found] == sorted(row["due_at"] for row in found)
    punctual = ids_of(api, overdue=False)
    assert set(punctual) == {row["id"] for row in everything} - late
    assert ids_of(api, overdue=True, state=["completed"]) == []


def test_what_changed_since_comes_in_the_order_in_which_it_changed(
    api: TestClient, planted: Planted
) -> None:
    made = planted.add(9, updated_at=lambda n: START + ((n * 4) % 9) * DAY)
    by_change = sorted(made, key=lambda one: (made.index(one) * 4) % 9)
    assert ids_of(api, updated_since=(START + 3 * DAY).isoformat(), limit=2) == by_change[3:]


def test_one_that_changes_while_the_changes_are_read_comes_again_and_none_is_missed(
    api: TestClient, planted: Planted
) -> None:
    first, second, third = planted.add(3, updated_at=lambda n: START + n * DAY)
    page = api.get(URL, params={"updated_since": START.isoformat(), "limit": 2}).json()
    assert [row["id"] for row in page["items"]] == [first, second]
    with planted.runtime.database.write() as session:
        session.get_one(ErasureRequest, UUID(hex=first[4:])).updated_at = START + 5 * DAY
    rest = ids_of(api, updated_since=START.isoformat(), cursor=page["next_cursor"])
    assert rest == [third, first]


def test_requests_of_a_model_are_found_newest_first(
    api: TestClient, planted: Planted, make_key: MakeKey
) -> None:
    one, other = planted.models
    made = planted.add(20, model=lambda n: (one, other, None)[n % 3])
    assert ids_of(api, model=f"mdl_{one.hex}", limit=3) == made[::3][::-1]
    assert ids_of(api, model=f"mdl_{new_id().hex}") == []
    foreign = {"Authorization": f"Bearer {make_key(controller='other')}"}
    answer = api.get(URL, params={"model": f"mdl_{one.hex}"}, headers=foreign)
    assert answer.json() == {"items": [], "next_cursor": None}


def test_an_external_id_names_one_request(api: TestClient, planted: Planted) -> None:
    made = planted.add(5, external_id=lambda n: f"case-{n}")
    assert ids_of(api, external_id="case-3") == [made[3]]
    assert ids_of(api, external_id="case-9") == []
    assert ids_of(api, external_id="case-3", state=["failed"]) == []
    late = {"due_before": "2020-01-01T00:00:00Z"}
    assert ids_of(api, external_id="case-3", **late) == []


def test_each_pair_of_filters_gives_what_both_let_through(
    api: TestClient, planted: Planted, clock: Clock
) -> None:
    clock.now = START
    states = list(RequestState)
    planted.add(
        150,
        state=lambda n: states[n % 10],
        regulation=lambda n: list(Regulation)[n % 2],
        due_at=lambda n: START + (n % 7 - 3) * DAY,
        updated_at=lambda n: START + (n % 11) * DAY,
        model=lambda n: [*planted.models, None][n % 3],
    )
    model = f"mdl_{planted.models[0].hex}"
    filters: list[dict[str, Any]] = [
        {"state": ["failed", "scheduled", "completed"]},
        {"due_before": (START + DAY).isoformat()},
        {"overdue": True},
        {"overdue": False},
        {"model": model},
        {"updated_since": (START + 4 * DAY).isoformat()},
        {"regulation": "ccpa"},
    ]
    alone = [set(ids_of(api, **one)) for one in filters]
    assert all(5 < len(one) < 146 for one in alone)
    for n, one in enumerate(filters):
        for m, other in enumerate(filters[:n]):
            if set(one) & set(other):
                continue
            found = ids_of(api, **one, **other, limit=4)
            assert len(found) == len(set(found))
            assert set(found) == alone[n] & alone[m], (one, other)


def test_a_page_looks_at_so_many_requests_and_goes_on_in_the_next(
    api: TestClient, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SCANNED", 10)
    made = planted.add(45, regulation=lambda n: Regulation.CCPA if n in (3, 44) else "gdpr")
    first = api.get(URL, params={"regulation": "ccpa"}).json()
    assert [row["id"] for row in first["items"]] == [made[44]]
    second = api.get(URL, params={"regulation": "ccpa", "cursor": first["next_cursor"]}).json()
    assert second["items"] == [] and second["next_cursor"] is not None
    assert ids_of(api, regulation="ccpa") == [made[44], made[3]]


def test_requests_that_arrive_while_a_list_is_read_disturb_no_page(cases: Cases) -> None:
    made = [cases.submit("ada") for _ in range(4)]
    page = cases.api.get(URL, params={"limit": 2}).json()
    cases.submit("ben")
    rest = ids_of(cases.api, cursor=page["next_cursor"])
    assert [row["id"] for row in page["items"]] + rest == made[::-1]


SECRET = "jane.doe@secret.example"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": SECRET}, "query.state.0"),
        ({"state": ["failed", SECRET]}, "query.state.1"),
        ({"state": ""}, "query.state.0"),
        ({"state": ["failed"] * 21}, "query.state"),
        ({"due_before": SECRET}, "query.due_before"),
        ({"due_before": "2026-01-01T00:00:00"}, "query.due_before"),
        ({"due_before": "0001-01-01T00:00:00+14:00"}, "query.due_before"),
        ({"due_before": "9999-12-31T23:59:59-14:00"}, "query.due_before"),
        ({"updated_since": "1e999"}, "query.updated_since"),
        ({"updated_since": "nan"}, "query.updated_since"),
        ({"overdue": SECRET}, "query.overdue"),
        ({"model": SECRET}, "query.model"),
        ({"model": f"run_{'0' * 32}"}, "query.model"),
        ({"external_id": ""}, "query.external_id"),
        ({"external_id": "a\x00b"}, "query.external_id"),
        ({"external_id": "x" * 201}, "query.external_id"),
        ({"regulation": SECRET}, "query.regulation"),
        ({"limit": 0}, "query.limit"),
        ({"limit": 201}, "query.limit"),
        ({"limit": SECRET}, "query.limit"),
        ({"cursor": "x" * 401}, "query.cursor"),
        ({"cursor": "jane"}, "query.cursor"),
        ({"regulation": ["gdpr", "ccpa"]}, "query.regulation"),
        ({"external_id": ["case-1", "case-2"]}, "query.external_id"),
        ({"limit": [1, 2]}, "query.limit"),
        ({"due_befor": "2026-01-01T00:00:00Z"}, "query"),
        ({SECRET: "1"}, "query"),
        ({SECRET: ["1", "2"]}, "query"),
    ],
)
def test_a_faulty_query_is_refused_by_parameter_and_never_repeated(
    api: TestClient, query: dict[str, Any], field: str
) -> None:
    answer = api.get(URL, params=query)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "jane" not in answer.text


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        ({}, ["newest", "zz"]),
        ({}, ["newest", "0" * 32, "0" * 32]),
        ({}, ["due", "0" * 32]),
        ({}, ["newest", 1]),
        ({"overdue": "true"}, ["newest", "0" * 32]),
        ({"overdue": "true"}, ["updated", "2026-01-01T00:00:00.000000Z", "0" * 32]),
        ({"overdue": "true"}, ["due", "2026-01-01", "0" * 32]),
        ({"overdue": "true"}, ["due", "9999-99-01T00:00:00.000000Z", "0" * 32]),
    ],
)
def test_a_cursor_of_another_list_is_refused(
    api: TestClient, query: dict[str, Any], parts: list[Any]
) -> None:
    answer = api.get(URL, params={**query, "cursor": encode_cursor(*parts)})
    assert answer.status_code == 422
    assert answer.json()["type"].endswith(":bad-cursor")
    assert answer.json()["errors"][0]["field"] == "query.cursor"


def test_every_list_refuses_a_parameter_that_stands_twice(api: TestClient) -> None:
    for path in ("/runs", "/models", "/webhooks", "/keys", "/audit/entries"):
        answer = api.get(f"/api/v1{path}", params={"limit": [1, 200]})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "query.limit"


FILTERS: list[dict[str, Any]] = [
    {},
    {"state": ["failed"]},
    {"state": ["failed", "scheduled", "completed"]},
    {"due_before": "2026-03-20T00:00:00Z"},
    {"overdue": "true"},
    {"overdue": "true", "state": ["scheduled"]},
    {"overdue": "false"},
    {"updated_since": "2026-03-10T00:00:00Z"},
    {"regulation": "ccpa"},
    {"model": "some"},
    {"model": "some", "state": ["failed"]},
    {"model": "some", "overdue": "true"},
    {"due_before": "2026-12-20T00:00:00Z", "updated_since": "2026-03-10T00:00:00Z"},
]


def test_no_page_of_any_filter_reads_the_whole_table(
    api: TestClient, planted: Planted, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page and a later one. PostgreSQL weighs, and would rather read a small table whole
    for a page that looks at much of it."""
    monkeypatch.setattr(listing, "SCANNED", 100)
    states = [RequestState.COMPLETED] * 90 + list(OPEN_REQUEST)
    planted.add(
        10_000,
        state=lambda n: states[n % len(states)],
        external_id=lambda n: f"case-{n}",
        due_at=lambda n: START + (n % 400) * DAY / 10,
        updated_at=lambda n: START + (n % 300) * DAY / 10,
        model=lambda n: planted.models[n % 50 != 0],  # few have the first
    )
    database = planted.runtime.database
    with database.write() as session:
        session.execute(text("ANALYZE"))
    for one in FILTERS:
        query = {**one, "model": f"mdl_{planted.models[0].hex}"} if "model" in one else dict(one)
        for _ in range(2):
            with explained(api.app.state.runtime.database) as plans:  # type: ignore[attr-defined]
                page = api.get(URL, params=query).json()
            read = [line for plan in plans for line in plan if reads_whole_table(line)]
            assert read == [], (query, plans)
            if index := index_of(one):
                assert any(index in line for line in plans[0]), (query, index, plans)
            assert len(plans) == 2
            if (cursor := page["next_cursor"]) is None:
                break
            query["cursor"] = cursor


def index_of(query: dict[str, Any]) -> str | None:
    """Of those that were made for one filter; SQLAlchemy cannot compare the first with the code."""
    if query.get("overdue") == "true" or "due_before" in query:
        return "ix_erasure_requests_due_page"
    if "updated_since" in query:
        return "ix_erasure_requests_updated_page"
    if "model" in query:
        return "ix_erasure_items_page"
    return None


def reads_whole_table(line: str) -> bool:
    if re.search(r"Seq Scan on erasure_(requests|items)", line):
        return True
    return re.match(r"SCAN erasure_(requests|items)", line) is not None


@contextmanager
def explained(database: Database) -> Iterator[list[list[str]]]:
    """The plan of each statement on requests that is executed meanwhile."""
    plans: list[list[str]] = []
    ask = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "erasure_requests" in statement and not statement.startswith("EXPLAIN"):
            cursor.execute(ask + statement, parameters)
            plans.append([str(row[-1]) for row in cursor.fetchall()])

    event.listen(database.engine, "before_cursor_execute", explain)
    yield plans
    event.remove(database.engine, "before_cursor_execute", explain)


def test_a_list_counts_nothing(api: TestClient, cases: Cases) -> None:
    api.post(URL, json=submission("ada"))
    assert set(api.get(URL).json()) == {"items", "next_cursor"}
