"""A controller with a receiver, a courier, and a clock that the test moves."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.runtime import Runtime
from app.webhooks.sending import Network, connect, tls_context
from tests.erasure.conftest import Cases, cases, hand, model, now
from tests.webhooks.receiver import Receiver, receiving, self_signed
from workers.courier import Courier

__all__ = ["cases", "hand", "model", "now"]

HOOKS = "/api/v1/webhooks"
PUBLIC = "93.184.215.14"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def network(certificate: Path) -> Network:
    """Names have a public address, and whoever connects to it reaches this machine."""
    return Network(
        tls_context(certificate),
        resolve=lambda host, port: [PUBLIC],
        dial=lambda address, port, timeout: connect("127.0.0.1", port, timeout),
        seconds=3.0,
    )


@pytest.fixture
def receiver(certificate: Path) -> Iterator[Receiver]:
    with receiving(certificate) as receiver:
        yield receiver


@dataclass
class Office:
    """Sends what is due at its own time, and waits until that is done."""

    api: TestClient
    runtime: Runtime
    network: Network
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.courier = Courier(self.runtime, self.network, lambda: self.now)

    def register(self, url: str, **fields: Any) -> dict[str, Any]:
        answer = self.api.post(HOOKS, json={"url": url, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def send(self, later: timedelta = timedelta(seconds=1)) -> None:
        self.now = max(self.now, datetime.now(UTC)) + later
        while self.courier.send_due():
            self.courier.wait()

    def send_until_it_ends(self) -> None:
        """As time passes: each look a day and more after the one before."""
        for _ in range(5):
            self.send(timedelta(hours=25))

    def deliveries(self, **filters: Any) -> list[dict[str, Any]]:
        """Oldest first."""
        answer = self.api.get(f"{HOOKS}/deliveries", params={"limit": 200, **filters})
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()["items"]
        return rows[::-1]

    def states(self, **filters: Any) -> list[str]:
        return [row["state"] for row in self.deliveries(**filters)]


@pytest.fixture
def office(api: TestClient, runtime: Runtime, network: Network) -> Iterator[Office]:
    office = Office(api, runtime, network)
    yield office
    office.courier.stop()


__all__ += ["Cases", "Office"]
