"""Two controllers that know the same person by the same identity."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.erasure.states import RunState
from app.ids import model_id
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.erasure.working import Hand
from tests.keys.conftest import bearer

URL = "/api/v1/erasure-requests"


class Side:
    def __init__(self, client: TestClient, key: str, model: str) -> None:
        self.client, self.headers, self.model = client, bearer(key), model

    def submit(self, **fields: Any) -> dict[str, Any]:
        answer = self.client.post(URL, json=submission("ada", **fields), headers=self.headers)
        assert answer.status_code == 202, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/v1{path}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def seen(self) -> list[Any]:
        """All that this side can see of its data."""
        body = {"subjects": submission("ada")["subjects"]}
        impact = self.client.post(f"{URL}/impact", json=body, headers=self.headers)
        return [
            impact.json(),
            self.get(f"/models/{self.model}"),
            self.get(f"/models/{self.model}/versions"),
            self.get(f"/models/{self.model}/recipients"),
            self.get("/datasets"),
            self.get("/runs"),
            self.get("/erasure-requests"),
        ]


@pytest.fixture
def sides(anonymous: TestClient, runtime: Runtime, make_key: MakeKey) -> tuple[Side, Side]:
    made = []
    for controller, rows in (("default", 4), ("other", 3)):
        with runtime.database.write() as session:
            dataset = add_dataset(runtime, session, people(ada=rows), controller=controller)
            model = add_model(session, dataset)
        made.append(Side(anonymous, make_key(controller=controller), model_id(model.id)))
    return made[0], made[1]


def publish_all(runtime: Runtime) -> int:
    now = datetime.now(UTC) + timedelta(seconds=1)
    hand, done = Hand.hire(runtime, now), 0
    while (claim := hand.claim(now)) is not None:
        assert hand.publish(claim.fence, now, weights=f"new {done}") is RunState.SUCCEEDED
        done += 1
    return done


def test_a_request_touches_the_samples_and_models_of_its_own_controller_alone(
    sides: tuple[Side, Side], runtime: Runtime
) -> None:
    one, other = sides
    before = other.seen()
    request = one.submit()
    assert [item["model"] for item in request["items"]] == [one.model]
    assert request["items"][0]["forget_count"] == 4
    assert publish_all(runtime) == 1
    assert one.get(f"/erasure-requests/{request['id']}")["state"] == "completed"
    assert other.seen() == before


def test_what_one_has_unlearned_the_other_has_still_to_unlearn(
    sides: tuple[Side, Side], runtime: Runtime
) -> None:
    one, other = sides
    one.submit()
    publish_all(runtime)
    request = other.submit()
    assert (request["state"], request["reason_code"]) == ("scheduled", None)
    assert request["earlier_request"] is None
    assert [(i["model"], i["forget_count"]) for i in request["items"]] == [(other.model, 3)]
    before = one.seen()
    assert publish_all(runtime) == 1
    assert one.seen() == before


def test_case_numbers_and_idempotency_keys_are_each_controller_s_own(
    sides: tuple[Side, Side],
) -> None:
    one, other = sides
    for side in sides:
        side.headers["Idempotency-Key"] = "the-same"
    first, second = one.submit(external_id="case-1"), other.submit(external_id="case-1")
    assert first["id"] != second["id"]
    assert one.submit(external_id="case-1")["id"] == first["id"]


def test_a_model_of_the_other_cannot_be_chosen(sides: tuple[Side, Side]) -> None:
    one, other = sides
    body = submission("ada", models=[other.model])
    refused = one.client.post(URL, json=body, headers=one.headers)
    unknown = one.client.post(
        URL, json=submission("ada", models=["mdl_" + "0" * 32]), headers=one.headers
    )
    assert refused.status_code == unknown.status_code == 422
    assert refused.json() == unknown.json()
