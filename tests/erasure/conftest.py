from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.ids import model_id
from app.registry.policy import Policy
from app.runtime import Runtime
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.erasure.working import Hand

URL = "/api/v1/erasure-requests"


@pytest.fixture
def now() -> datetime:
    """Later than every acceptance of the test, so that no window is still open."""
    return datetime.now(UTC)


@pytest.fixture
def model(runtime: Runtime) -> str:
    """One model, trained on rows of ada (4), ben (3) and cleo (2). Its ladder has no rung: what is
    rejected waits for a person."""
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(ada=4, ben=3, cleo=2))
        return model_id(add_model(session, dataset, policy=Policy(ladder=())).id)


@pytest.fixture
def hand(runtime: Runtime, now: datetime) -> Hand:
    return Hand.hire(runtime, now)


class Cases:
    """Requests over HTTP, as a caller sees them."""

    def __init__(self, api: TestClient) -> None:
        self.api = api

    def submit(self, *customers: str, **fields: Any) -> str:
        answer = self.api.post(URL, json=submission(*customers, **fields))
        assert answer.status_code == 202, answer.text
        identity: str = answer.json()["id"]
        return identity

    def get(self, identity: str) -> dict[str, Any]:
        body: dict[str, Any] = self.api.get(f"{URL}/{identity}").json()
        return body

    def state(self, identity: str) -> str:
        state: str = self.get(identity)["state"]
        return state

    def item(self, identity: str) -> dict[str, Any]:
        (item,) = self.get(identity)["items"]
        return dict(item)

    def cancel(self, identity: str) -> Any:
        return self.api.post(f"{URL}/{identity}/cancel")

    def decide(self, identity: str, **body: Any) -> Any:
        if "item" not in body:
            body["item"] = self.item(identity)["id"]
        return self.api.post(f"{URL}/{identity}/decide", json=body)


@pytest.fixture
def cases(api: TestClient, model: str) -> Cases:
    return Cases(api)
