from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.http.sessions import present
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

    def approve(self, identity: str, key: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return self.api.post(f"{URL}/{identity}/approve", headers=headers)

    def refuse(self, identity: str, reason: str = "legal_claims", **fields: Any) -> Any:
        body = {"reason_code": reason, **fields}
        return self.api.post(f"{URL}/{identity}/refuse", json=body)

    def hold(self, identity: str, reason: str = "legal_hold", **fields: Any) -> Any:
        return self.api.post(f"{URL}/{identity}/hold", json={"reason": reason, **fields})

    def resume(self, identity: str) -> Any:
        return self.api.post(f"{URL}/{identity}/resume")

    def extend(self, identity: str, **fields: Any) -> Any:
        told = datetime.now(UTC).isoformat()
        body = {"reason": "complexity", "notified_at": told, **fields}
        return self.api.post(f"{URL}/{identity}/extend", json=body)

    def decide(self, identity: str, **body: Any) -> Any:
        if "item" not in body:
            body["item"] = self.item(identity)["id"]
        return self.api.post(f"{URL}/{identity}/decide", json=body)


@dataclass
class Clock:
    """What the service takes for the present."""

    now: datetime

    def at(self, text: str) -> None:
        """A day (at noon, UTC) or a whole time."""
        self.now = datetime.fromisoformat(text if "T" in text else f"{text}T12:00:00+00:00")


@pytest.fixture
def clock(api: TestClient) -> Clock:
    """Starts on Thursday, 5 March 2026; a month later is Easter Sunday."""
    clock = Clock(datetime(2026, 3, 5, 12, tzinfo=UTC))
    app: Any = api.app
    app.dependency_overrides[present] = lambda: clock.now
    return clock


@pytest.fixture
def cases(api: TestClient, model: str) -> Cases:
    return Cases(api)
