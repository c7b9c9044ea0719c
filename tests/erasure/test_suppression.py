"""Who is suppressed, until when, and what that means for data that is registered again."""

import base64
import json
import logging
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from app.audit.tables import PendingEntry
from app.config import Settings
from app.erasure import ended_links, suppression
from app.erasure.tables import ErasureRequest, ItemSample, RequestSubject, SuppressionEntry
from app.keys import service as keys
from app.keys.scopes import Scope
from app.main import create_app
from app.registry.tables import Dataset
from app.restore import service as restore
from app.restore.tables import PauseReason
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import URL
from tests.erasure.factories import submission
from tests.registry.content import feature_columns, parquet, weights
from tests.registry.front import PROBLEM, Front
from workers import duties
from workers.closing import close_due

LATER = datetime.now(UTC) + timedelta(days=8)
SUPPRESSIONS = "/api/v1/suppressions"
WHO = "customer-1"  # has 5 of the 20 rows


class Cases:
    """A registered model, and cases about its persons. Nothing is computed: those who are found are
    left waiting, and those who are not are complete at once."""

    def __init__(self, front: Front) -> None:
        self.front, self.api, self.runtime = front, front.api, front.runtime
        front.model(weights())

    def submit(self, *who: str, **more: Any) -> str:
        answer = self.api.post(URL, json=submission(*who, **more))
        assert answer.status_code == 202, answer.text
        identity: str = answer.json()["id"]
        return identity

    def closed(self, *who: str) -> str:
        """Of a person without a row: complete with no_match, and closed when its window ends."""
        request = self.submit(*who)
        assert close_due(self.runtime, lambda: LATER) == 1
        return request

    def register(self, name: str, who: str = WHO, **changes: Any) -> dict[str, Any]:
        """A dataset in which `who` has five rows."""
        columns = feature_columns()
        columns["customer"] = [
            who if one == WHO else f"{name}-{one}" for one in columns["customer"]
        ]
        return self.front.dataset(parquet(columns), name=name, **changes)

    def facts(self, kind: str) -> list[dict[str, Any]]:
        with self.runtime.database.read() as session:
            bodies = session.scalars(
                select(PendingEntry.body).where(PendingEntry.kind == kind).order_by(PendingEntry.id)
            ).all()
        return [json.loads(body)["facts"] for body in bodies]

    def count(self, table: Any) -> int:
        with self.runtime.database.read() as session:
            return session.scalars(select(func.count()).select_from(table)).one()

    def list(self, query: str = "") -> dict[str, Any]:
        body: dict[str, Any] = self.api.get(f"{SUPPRESSIONS}{query}").json()
        return body

    def search(self, *who: str) -> dict[str, Any]:
        subjects = submission(*who)["subjects"]
        answer = self.api.post(f"{SUPPRESSIONS}/search", json={"subjects": subjects})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


@pytest.fixture
def front(api: TestClient, runtime: Runtime) -> Front:
    return Front(api, runtime)


@pytest.fixture
def cases(front: Front) -> Cases:
    return Cases(front)


def test_a_closed_case_suppresses_for_as_long_as_the_setting_says(
    cases: Cases, runtime: Runtime
) -> None:
    request = cases.closed("stranger")
    (only,) = cases.list()["items"]
    lasts = datetime.fromisoformat(only["until"]) - datetime.fromisoformat(only["since"])
    assert only["request"] == request
    assert lasts == timedelta(days=runtime.settings.suppression_days) == timedelta(days=1095)
    assert set(only) == {"request", "since", "until"}
    (closed,) = cases.facts("erasure:request:closed")
    assert datetime.fromisoformat(closed["suppressed_until"]) == datetime.fromisoformat(
        only["until"]
    )


@pytest.mark.parametrize("standing", ["scheduled", "no_match", "closed"])
def test_rows_of_a_suppressed_person_are_counted_and_the_dataset_is_ready(
    cases: Cases, standing: str, caplog: pytest.LogCaptureFixture
) -> None:
    who = WHO if standing == "scheduled" else "stranger"
    cases.closed(who) if standing == "closed" else cases.submit(who)
    with caplog.at_level(logging.WARNING, logger="lotus.registration"):
        found = cases.register("again", who)
    assert (found["state"], found["on_suppressed"], found["suppressed_rows"]) == (
        "ready",
        "flag",
        5,
    )
    assert cases.facts("registry:dataset:ready")[-1]["suppressed_rows"] == 5
    assert [record.lotus_fields["rows"] for record in caplog.records] == [5]  # type: ignore[attr-defined]


@pytest.mark.parametrize("standing", ["scheduled", "no_match", "closed"])
def test_a_dataset_that_refuses_suppressed_persons_ends_invalid_and_leaves_nothing(
    cases: Cases, standing: str
) -> None:
    who = WHO if standing == "scheduled" else "stranger"
    cases.closed(who) if standing == "closed" else cases.submit(who)
    before = cases.front.rows_left(), sorted(cases.front.files_left())
    found = cases.register("again", who, on_suppressed="refuse")
    assert (found["state"], found["suppressed_rows"]) == ("invalid", 5)
    assert found["problem"]["type"] == PROBLEM + "suppressed-persons"
    assert found["problem"]["detail"].startswith("5 rows belong to persons")
    assert found["problem"]["errors"] is None  # which rows is not said
    assert (cases.front.rows_left(), sorted(cases.front.files_left())) == before
    (said,) = cases.facts("registry:dataset:invalid")
    assert (said["problem"], said["suppressed_rows"]) == ("suppressed-persons", 5)
    assert cases.facts("registry:dataset:registered")[-1]["on_suppressed"] == "refuse"


def test_a_dataset_that_refuses_and_holds_nobody_suppressed_is_ready(cases: Cases) -> None:
    cases.closed("stranger")
    found = cases.register("again", "somebody else", on_suppressed="refuse")
    assert (found["state"], found["suppressed_rows"]) == ("ready", 0)


def test_persons_of_cancelled_requests_and_of_other_controllers_are_not_suppressed(
    cases: Cases, make_key: MakeKey
) -> None:
    request = cases.submit(WHO)
    assert cases.api.post(f"{URL}/{request}/cancel").status_code == 202
    assert cases.register("again")["suppressed_rows"] == 0
    cases.closed("stranger")
    cases.api.headers["Authorization"] = f"Bearer {make_key(controller='other')}"
    assert cases.register("theirs", "stranger")["suppressed_rows"] == 0
    assert cases.list()["items"] == []
    assert cases.search("stranger") == {"suppressions": [], "requests": []}


def test_entries_go_when_their_time_is_over_and_the_log_says_how_many(cases: Cases) -> None:
    cases.closed("stranger", "strange@example.org")
    cases.closed("visitor")
    until = LATER + timedelta(days=1095)
    duties.forget(cases.runtime, until - timedelta(seconds=1))
    assert cases.count(SuppressionEntry) == 3
    duties.forget(cases.runtime, until)
    assert cases.count(SuppressionEntry) == 0
    (said,) = cases.facts("erasure:suppression:expired")
    assert said["entry_count"] == 3 and set(said) == {"controller", "entry_count"}
    duties.forget(cases.runtime, until)
    assert len(cases.facts("erasure:suppression:expired")) == 1


def test_entries_beyond_one_transaction_go_too(
    cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppression, "AT_ONCE", 2)
    cases.closed(*(f"stranger-{number}" for number in range(5)))
    duties.forget(cases.runtime, LATER + timedelta(days=1095))
    assert cases.count(SuppressionEntry) == 0
    counted = [one["entry_count"] for one in cases.facts("erasure:suppression:expired")]
    assert counted == [2, 2, 1]


def test_an_entry_whose_time_is_over_counts_no_more_before_it_is_removed(cases: Cases) -> None:
    request = cases.closed("stranger")
    with cases.runtime.database.write() as session:
        session.execute(update(SuppressionEntry).values(until=datetime.now(UTC)))
    assert cases.register("again", "stranger")["suppressed_rows"] == 0
    assert cases.list()["items"] == cases.search("stranger")["suppressions"] == []
    assert cases.api.delete(f"{SUPPRESSIONS}/{request}").status_code == 404


def test_nothing_is_forgotten_while_the_service_is_paused(cases: Cases) -> None:
    cases.closed("stranger")
    with cases.runtime.database.write() as session:
        restore.pause(
            session, PauseReason.DATABASE_OLDER, None, actor="service", now=datetime.now(UTC)
        )
    duties.forget(cases.runtime, LATER + timedelta(days=1095))
    assert cases.count(SuppressionEntry) == 1


def test_who_comes_back_of_his_own_will_is_registered_again(cases: Cases) -> None:
    first = cases.closed("stranger", "strange@example.org")
    second = cases.closed("stranger")
    other = cases.closed("visitor")
    answer = cases.api.delete(f"{SUPPRESSIONS}/{second}")
    assert answer.status_code == 200
    # The tag of "stranger" goes from both cases; the other identity is not the second case's.
    assert answer.json() == {"request": second, "entries": 2}
    assert [one["request"] for one in cases.list()["items"]] == [other, first]
    assert cases.register("again", "stranger", on_suppressed="refuse")["state"] == "ready"
    (said,) = cases.facts("erasure:suppression:ended")
    assert (said["request"], said["entry_count"]) == (second, 2)
    assert said["actor"].startswith("key_")
    again = cases.api.delete(f"{SUPPRESSIONS}/{second}")
    assert (again.status_code, again.json()["type"]) == (404, PROBLEM + "not-suppressed")


def test_an_unknown_and_a_foreign_case_are_answered_alike(cases: Cases, make_key: MakeKey) -> None:
    request = cases.closed("stranger")
    unknown = cases.api.delete(f"{SUPPRESSIONS}/req_{'0' * 32}")
    cases.api.headers["Authorization"] = f"Bearer {make_key(controller='other')}"
    foreign = cases.api.delete(f"{SUPPRESSIONS}/{request}")
    assert (unknown.status_code, unknown.json()) == (404, foreign.json())
    assert cases.count(SuppressionEntry) == 1


def test_the_list_goes_on_where_the_page_before_ended(cases: Cases) -> None:
    requests = [cases.closed(f"stranger-{number}", f"other-{number}") for number in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = cases.list(f"?limit=2{cursor and '&cursor=' + cursor}")
        seen += [one["request"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == requests[::-1]


def test_a_person_is_found_by_any_identity_and_nothing_of_it_is_stored(cases: Cases) -> None:
    closed = cases.closed("stranger", "strange@example.org")
    standing = cases.submit(WHO, "strange@example.org")
    before = cases.count(PendingEntry)
    found = cases.search("strange@example.org")
    assert [one["request"] for one in found["suppressions"]] == [closed]
    assert found["requests"] == [standing]
    assert cases.search("nobody") == {"suppressions": [], "requests": []}
    assert cases.count(PendingEntry) == before


def test_each_call_needs_its_own_scope(cases: Cases, make_key: MakeKey) -> None:
    request = cases.closed("stranger")
    subjects = {"subjects": submission("stranger")["subjects"]}
    may_not: dict[Scope, list[Any]] = {
        Scope.REQUESTS_WRITE: [
            lambda: cases.api.get(SUPPRESSIONS),
            lambda: cases.api.post(f"{SUPPRESSIONS}/search", json=subjects),
        ],
        Scope.REQUESTS_READ: [lambda: cases.api.delete(f"{SUPPRESSIONS}/{request}")],
    }
    for scope, calls in may_not.items():
        cases.api.headers["Authorization"] = f"Bearer {make_key(scope)}"
        assert [call().status_code for call in calls] == [403] * len(calls)


def test_an_identity_that_cannot_be_one_is_refused_without_being_repeated(cases: Cases) -> None:
    wrong = {"subjects": [{"type": "email", "value": "not-a-digest-7715", "format": "sha256"}]}
    answer = cases.api.post(f"{SUPPRESSIONS}/search", json=wrong)
    assert (answer.status_code, answer.json()["type"]) == (422, PROBLEM + "identity-not-valid")
    assert "7715" not in answer.text


def test_references_of_a_cancelled_request_go_after_a_month(cases: Cases) -> None:
    cancelled, standing = cases.submit(WHO), cases.submit("customer-2")
    assert cases.api.post(f"{URL}/{cancelled}/cancel").status_code == 202
    with cases.runtime.database.read() as session:
        at = session.get_one(ErasureRequest, UUID(hex=cancelled[4:])).updated_at
    duties.forget(cases.runtime, at + ended_links.KEPT - timedelta(seconds=1))
    assert cases.count(RequestSubject) == 2
    duties.forget(cases.runtime, at + ended_links.KEPT)
    with cases.runtime.database.read() as session:
        left = session.scalars(select(RequestSubject.request_id)).all()
    assert [f"req_{one.hex}" for one in left] == [standing]
    assert cases.count(ItemSample) == 0
    (said,) = cases.facts("erasure:links:cut")
    assert (said["request"], said["link_count"]) == (cancelled, 1)
    assert cases.count(SuppressionEntry) == 0
    duties.forget(cases.runtime, at + 2 * ended_links.KEPT)
    assert len(cases.facts("erasure:links:cut")) == 1


def with_keys(settings: Settings, value: str) -> TestClient:
    """Another process of the same service, with these pseudonym keys."""
    return TestClient(
        create_app(settings.model_copy(update={"pseudonym_key": value})),
        raise_server_exceptions=False,
    )


def random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.mark.parametrize("keys", ["k2:{}", "k1:{}"], ids=["missing", "replaced under its id"])
def test_without_the_key_of_a_dataset_nobody_is_searched_and_no_answer_is_given(
    cases: Cases, settings: Settings, keys: str
) -> None:
    with with_keys(settings, keys.format(random_key())) as lacking:
        lacking.headers["Authorization"] = cases.api.headers["Authorization"]
        for path in ("", "/impact"):
            body = submission(WHO) if not path else {"subjects": submission(WHO)["subjects"]}
            answer = lacking.post(f"{URL}{path}", json=body)
            assert answer.status_code == 503, answer.text
            assert answer.json()["type"] == PROBLEM + "pseudonym-key-missing"
            assert answer.headers["Retry-After"]
        ready = lacking.get("/readyz")
        checks = {one["name"]: one["ok"] for one in ready.json()["checks"]}
        assert (ready.status_code, checks["keys"]) == (503, False)
    assert cases.count(ErasureRequest) == 0
    assert cases.submit(WHO)  # with its key the service takes the same request


def test_another_controller_s_lost_key_keeps_nobody_else_from_being_searched(cases: Cases) -> None:
    with cases.runtime.database.write() as session:
        (mine,) = session.scalars(select(Dataset)).all()
        other = keys.ensure_controller(session, "other", now=datetime.now(UTC))
        session.add(
            Dataset(
                controller_id=other.id,
                name="theirs",
                task=mine.task,
                class_names=mine.class_names,
                subject_columns=mine.subject_columns,
                upload_sha256="0" * 64,
                state=mine.state,
                pseudonym_key_id="k9",
                created_at=mine.created_at,
            )
        )
    assert cases.submit(WHO)


def test_a_new_key_in_front_finds_persons_of_old_data_new_data_and_older_requests(
    front: Front, settings: Settings, runtime: Runtime
) -> None:
    first = front.model(weights())
    old = next(f"{key_id}:{_text(key)}" for key_id, key in runtime.keyring.pseudonym.items())
    before = front.api.post(URL, json=submission(WHO)).json()
    assert [item["model"] for item in before["items"]] == [first["id"]]

    rotated = settings.model_copy(update={"pseudonym_key": f"k2:{random_key()},{old}"})
    with TestClient(create_app(rotated)) as api:
        api.headers["Authorization"] = front.api.headers["Authorization"]
        renewed = Front(api, api.app.state.runtime)  # type: ignore[attr-defined]
        columns = feature_columns() | {"sample_id": [f"new-{row}" for row in range(20)]}
        dataset = renewed.dataset(parquet(columns), name="new")
        assert dataset["suppressed_rows"] == 5
        second = renewed.model(weights(), dataset=dataset["id"], name="second")
        assert second["state"] == "ready", second
        # The request from before the key takes the new model in, through its tag.
        items = api.get(f"{URL}/{before['id']}").json()["items"]
        assert {item["model"]: item["forget_count"] for item in items} == {
            first["id"]: 3,
            second["id"]: 3,
        }
        after = api.post(URL, json=submission("customer-2")).json()
        assert {item["model"] for item in after["items"]} == {first["id"], second["id"]}
    with runtime.database.read() as session:
        used = session.execute(select(Dataset.name, Dataset.pseudonym_key_id)).all()
        held = session.scalars(select(RequestSubject.key_id).order_by(RequestSubject.key_id)).all()
    assert dict(list(used)) == {"customers": "k1", "new": "k2"}
    assert held == ["k1", "k1", "k2", "k2"]


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()
