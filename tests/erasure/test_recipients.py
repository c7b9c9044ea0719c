"""Who pulled weights that were trained on a person's samples (GDPR Art. 19)."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import event, select, update
from sqlalchemy.exc import OperationalError

from app.audit.tables import PendingEntry
from app.certificates.tables import Certificate
from app.erasure import arrivals, closing
from app.erasure.states import RunState
from app.keys import service as keys
from app.keys.scopes import Scope
from app.keys.tables import ApiKey
from app.registry import pulls
from app.registry.tables import Artifact, Model, ModelVersion
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import URL, Cases
from tests.erasure.factories import add_version
from tests.erasure.working import Hand


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


class Recipient:
    """A key by a name, and what it pulls."""

    def __init__(self, runtime: Runtime, api: TestClient, model: str, name: str) -> None:
        self.runtime, self.api, self.model, self.name = runtime, api, model, name
        self.key = self._make()

    def _make(self) -> str:
        with self.runtime.database.write() as session:
            owner = keys.ensure_default_controller(session, datetime.now(UTC))
            old = session.scalar(select(ApiKey).where(ApiKey.name == self.name))
            _, plaintext = keys.create_key(
                session,
                self.runtime.keyring,
                controller=owner.id,
                name=self.name,
                scopes=[Scope.ARTIFACTS_READ],
                actor="operator",
                now=datetime.now(UTC),
                succeeds=old,
            )
        return plaintext

    def rotate(self) -> None:
        self.key = self._make()

    def pull(self, **headers: str) -> Response:
        store_files(self.runtime)
        return self.api.get(
            f"/api/v1/models/{self.model}/versions/current/artifact",
            headers={"Authorization": f"Bearer {self.key}", **headers},
        )

    def pulled(self) -> str:
        answer = self.pull()
        assert answer.status_code == 200, answer.text
        number: str = answer.headers["Lotus-Version"]
        return number


def store_files(runtime: Runtime) -> None:
    """Something under the name of every artifact, as if a worker had put it there."""
    with runtime.database.read() as session:
        for name in session.scalars(select(Artifact.sha256)):
            path = runtime.artifacts.path(name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(name.encode())


MakeRecipient = Callable[[str], Recipient]


@pytest.fixture
def recipient(runtime: Runtime, api: TestClient, model: str) -> MakeRecipient:
    return lambda name: Recipient(runtime, api, model, name)


def of_model(api: TestClient, model: str) -> list[tuple[str, int, int]]:
    items = api.get(f"/api/v1/models/{model}/recipients").json()["items"]
    return [(one["name"], one["number"], one["count"]) for one in items]


def of_case(api: TestClient, request: str) -> dict[str, Any]:
    answer = api.get(f"{URL}/{request}/recipients")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def to_tell(api: TestClient, request: str) -> dict[str, tuple[list[int], bool]]:
    """By name: numbers pulled, and whether newer weights were pulled since."""
    return {
        one["name"]: (one["numbers"], one["renewed_at"] is not None)
        for one in of_case(api, request)["items"]
    }


def publish(hand: Hand) -> None:
    assert hand.publish(hand.must_claim(soon()), soon()) is RunState.SUCCEEDED


def stated_count(runtime: Runtime, request: str) -> int | None:
    with runtime.database.read() as session:
        payload = session.scalars(
            select(Certificate.payload)
            .where(Certificate.request_id == UUID(hex=request[4:]))
            .order_by(Certificate.id.desc())
            .limit(1)
        ).one()
    (model,) = json.loads(payload)["predicate"]["models"]
    count: int | None = model["recipient_count"]
    return count


def pull_entries(runtime: Runtime) -> list[dict[str, Any]]:
    query = select(PendingEntry.body).where(PendingEntry.kind == "registry:version:pulled")
    with runtime.database.read() as session:
        return [json.loads(body)["facts"] for body in session.scalars(query)]


def test_a_pull_is_recorded_with_its_key_version_and_times(
    api: TestClient, runtime: Runtime, model: str, recipient: MakeRecipient
) -> None:
    phone = recipient("phone app")
    assert of_model(api, model) == []
    phone.pulled()
    (one,) = api.get(f"/api/v1/models/{model}/recipients").json()["items"]
    assert (one["name"], one["number"], one["count"]) == ("phone app", 1, 1)
    assert one["first_at"] == one["last_at"]
    phone.pulled()
    (again,) = api.get(f"/api/v1/models/{model}/recipients").json()["items"]
    assert (again["count"], again["first_at"]) == (2, one["first_at"])
    assert again["last_at"] > one["last_at"]
    (facts,) = pull_entries(runtime)
    assert (facts["key"], facts["version"], facts["number"]) == (one["key"], one["version"], 1)


def test_pulls_of_one_key_at_once_are_one_recipient_and_all_counted(
    api: TestClient, runtime: Runtime, model: str, recipient: MakeRecipient
) -> None:
    phone = recipient("phone")
    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(lambda _: phone.pull().status_code, range(6)))
    assert codes == [200] * 6
    assert of_model(api, model) == [("phone", 1, 6)]
    assert len(pull_entries(runtime)) == 1


def test_a_part_of_the_file_is_a_pull_and_a_refused_call_is_none(
    api: TestClient, model: str, recipient: MakeRecipient, make_key: MakeKey
) -> None:
    phone = recipient("phone")
    assert phone.pull(Range="bytes=0-3").status_code == 206
    assert of_model(api, model) == [("phone", 1, 1)]
    stranger, blind = make_key(controller="other"), make_key(Scope.REGISTRY_READ)
    for key, code in ((stranger, 404), (blind, 403), ("lot_x", 401)):
        assert phone.pull(Authorization=f"Bearer {key}").status_code == code
    assert of_model(api, model) == [("phone", 1, 1)]


def test_a_version_without_its_file_is_no_pull(api: TestClient, model: str) -> None:
    assert api.get(f"/api/v1/models/{model}/versions/current/artifact").status_code == 503
    assert of_model(api, model) == []


def test_what_cannot_be_recorded_is_not_given_away(
    api: TestClient, runtime: Runtime, model: str, recipient: MakeRecipient
) -> None:
    phone = recipient("phone")
    engine = api.app.state.runtime.database.engine  # type: ignore[attr-defined]

    def away(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("INSERT INTO version_pulls"):
            raise OperationalError(statement, None, Exception("disk full"))

    event.listen(engine, "before_cursor_execute", away)
    refused = phone.pull()
    event.remove(engine, "before_cursor_execute", away)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert "ETag" not in refused.headers
    assert (of_model(api, model), pull_entries(runtime)) == ([], [])
    assert phone.pull().status_code == 200


def test_recipients_come_in_pages_newest_first(
    api: TestClient, model: str, recipient: MakeRecipient
) -> None:
    for name in ("a", "b", "c"):
        recipient(name).pulled()
    seen, cursor = [], None
    while True:
        page = api.get(
            f"/api/v1/models/{model}/recipients",
            params={"limit": 2, **({"cursor": cursor} if cursor else {})},
        ).json()
        seen.append([one["name"] for one in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [["c", "b"], ["a"]]


def test_those_who_pulled_what_knew_the_person_are_to_be_told(
    api: TestClient, runtime: Runtime, cases: Cases, hand: Hand, recipient: MakeRecipient
) -> None:
    early, late = recipient("early"), recipient("late")
    early.pulled()
    request = cases.submit("ada")
    assert to_tell(api, request) == {"early": ([1], False)}
    publish(hand)
    assert late.pulled() == "2"
    assert to_tell(api, request) == {"early": ([1], False)}
    assert early.pulled() == "2"
    assert to_tell(api, request) == {"early": ([1], True)}
    assert of_case(api, request)["complete"]
    assert stated_count(runtime, request) == 1


def test_a_version_that_unlearned_another_person_still_knows_this_one(
    api: TestClient, runtime: Runtime, cases: Cases, hand: Hand, recipient: MakeRecipient
) -> None:
    cases.submit("ben")
    publish(hand)
    phone = recipient("phone")
    assert phone.pulled() == "2"
    request = cases.submit("ada")
    publish(hand)
    assert to_tell(api, request) == {"phone": ([2], False)}
    assert stated_count(runtime, request) == 1
    assert phone.pulled() == "3"
    assert to_tell(api, request) == {"phone": ([2], True)}


def test_keys_of_one_holder_are_one_recipient(
    api: TestClient, runtime: Runtime, cases: Cases, hand: Hand, recipient: MakeRecipient
) -> None:
    phone = recipient("phone")
    phone.pulled()
    phone.rotate()
    phone.pulled()
    recipient("car").pulled()
    request = cases.submit("ada")
    publish(hand)
    assert stated_count(runtime, request) == 2
    assert [one["name"] for one in of_case(api, request)["items"]] == ["phone", "phone", "car"]
    phone.rotate()
    phone.pulled()
    renewed = [
        (one["name"], one["renewed_at"] is not None) for one in of_case(api, request)["items"]
    ]
    assert renewed == [("phone", True), ("phone", True), ("car", False)]


def test_after_a_rollback_who_pulls_the_old_weights_again_is_to_be_told_again(
    api: TestClient, runtime: Runtime, cases: Cases, hand: Hand, recipient: MakeRecipient
) -> None:
    phone = recipient("phone")
    phone.pulled()
    request = cases.submit("ada")
    publish(hand)
    assert phone.pulled() == "2"
    assert to_tell(api, request) == {"phone": ([1], True)}
    rolled = api.post(f"/api/v1/models/{phone.model}/rollback", json={"reason": "accuracy fell"})
    assert rolled.status_code == 200, rolled.text
    assert to_tell(api, request) == {"phone": ([1], False)}  # what was taken back is no renewal
    assert phone.pulled() == "1"
    publish(hand)
    assert to_tell(api, request) == {"phone": ([1], False)}
    assert phone.pulled() == "3"
    assert to_tell(api, request) == {"phone": ([1], True)}


def test_weights_trained_elsewhere_know_the_person_again(
    api: TestClient, runtime: Runtime, cases: Cases, hand: Hand, recipient: MakeRecipient
) -> None:
    phone = recipient("phone")
    request = cases.submit("ada")
    publish(hand)
    assert phone.pulled() == "2"
    assert to_tell(api, request) == {}
    with runtime.database.write() as session:
        model = session.scalars(select(Model)).one()
        version = add_version(session, model, "elsewhere")
        version.published_at = soon()
        arrivals.version_ready(session, runtime.keyring, version, now=soon())
    assert phone.pulled() == "3"
    assert to_tell(api, request) == {"phone": ([3], False)}


def test_the_list_outlives_the_links_that_closing_cuts(
    api: TestClient, runtime: Runtime, cases: Cases, hand: Hand, recipient: MakeRecipient
) -> None:
    phone = recipient("phone")
    phone.pulled()
    request = cases.submit("ada")
    publish(hand)
    before = of_case(api, request)
    with runtime.database.write() as session:
        later = datetime.now(UTC) + timedelta(days=8)
        assert closing.close(
            session,
            runtime.keyring,
            UUID(hex=request[4:]),
            suppressed_for=timedelta(days=1),
            now=later,
        )
    assert cases.get(request)["closed_at"] is not None
    assert of_case(api, request) == before
    assert before["complete"] and len(before["items"]) == 1


def test_a_cancelled_request_asks_nobody_to_be_told(
    api: TestClient, cases: Cases, recipient: MakeRecipient
) -> None:
    recipient("phone").pulled()
    request = cases.submit("ada")
    cases.cancel(request)
    assert of_case(api, request) == {"items": [], "complete": True}


def test_of_versions_from_before_pulls_were_recorded_nothing_is_claimed(
    api: TestClient, runtime: Runtime, cases: Cases, hand: Hand, recipient: MakeRecipient
) -> None:
    with runtime.database.write() as session:
        session.execute(update(ModelVersion).values(pulls_recorded=False))
    recipient("phone").pulled()
    request = cases.submit("ada")
    publish(hand)
    assert stated_count(runtime, request) is None
    assert not of_case(api, request)["complete"]


def test_nobody_pulled_is_a_number_too(runtime: Runtime, cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    publish(hand)
    assert stated_count(runtime, request) == 0


def test_to_publish_waits_for_a_pull_and_counts_it(
    api: TestClient,
    runtime: Runtime,
    cases: Cases,
    hand: Hand,
    recipient: MakeRecipient,
) -> None:
    """A pull that was answered with the old version before the new one was current."""
    recipient("phone")
    request = cases.submit("ada")
    fence = hand.must_claim(soon())
    with ThreadPoolExecutor() as pool:
        with runtime.database.write() as session:
            key = session.scalars(select(ApiKey).where(ApiKey.name == "phone")).one()
            model = session.scalars(select(Model)).one()
            version = pulls.take_current(
                session, model.id, controller=key.controller_id, key=key.id, now=soon()
            )
            assert version is not None and version.number == 1
            ending = pool.submit(hand.publish, fence, soon())
            with pytest.raises(TimeoutError):
                ending.result(0.5)
        assert ending.result(30) is RunState.SUCCEEDED
    assert stated_count(runtime, request) == 1
