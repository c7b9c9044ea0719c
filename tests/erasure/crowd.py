"""Calls that submit requests and come at the same time."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure import intake, receiving
from app.keys import changing, service
from app.keys.tables import Controller
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import URL
from tests.erasure.factories import add_dataset, add_model, people, submission

Call = dict[str, Any]
SECONDS = 30.0


def call(*customers: str, key: str | None = None, bearer: str | None = None, **fields: Any) -> Call:
    headers = {} if key is None else {"Idempotency-Key": key}
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    return {"json": submission(*customers, **fields), "headers": headers}


class Crowd:
    """Sends calls that all wait until the controller is let go, and so come together."""

    def __init__(self, api: TestClient, runtime: Runtime) -> None:
        self.api, self.runtime, self.now = api, runtime, datetime.now(UTC)
        self.reception: receiving.Reception = api.app.state.reception  # type: ignore[attr-defined]

    def waiting(self) -> int:
        """-1 if nobody is at work."""
        rounds = self.reception.rounds
        return rounds.waiting if rounds.is_busy else -1

    def send(
        self, calls: Sequence[Call], meanwhile: Callable[[Session], None] | None = None
    ) -> list[Response]:
        def post(one: Call) -> Response:
            return self.api.post(URL, **one)

        with ThreadPoolExecutor(len(calls) + 1) as threads:
            with self.runtime.database.write() as session:
                owner = session.scalars(
                    select(Controller.id).where(Controller.name == service.DEFAULT_CONTROLLER)
                ).one()
                changing.hold_controller(session, owner)
                # The first is at work alone, and waits; the others wait for it.
                opener = threads.submit(post, call("ada"))
                self._until(lambda: self.waiting() == 0)
                sent = []
                for number, one in enumerate(calls, start=1):
                    sent.append(threads.submit(post, one))
                    self._until(lambda number=number: self.waiting() == number)  # type: ignore[misc]
                if meanwhile is not None:
                    meanwhile(session)
            assert opener.result(SECONDS).status_code == 202
            return [one.result(SECONDS) for one in sent]

    def _until(self, done: Callable[[], Any]) -> None:
        end = time.monotonic() + SECONDS
        while not done():
            assert time.monotonic() < end
            time.sleep(0.005)


@pytest.fixture
def crowd(api: TestClient, model: str, runtime: Runtime) -> Crowd:
    api.get(URL)  # notes that the key is used, so that nothing else has to write
    return Crowd(api, runtime)


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many requests each look for models and persons took in."""
    sizes: list[int] = []
    whole = intake.submit_all

    def counted(session: Any, keyring: Any, controller: Any, wanted: Any) -> Any:
        sizes.append(len(wanted))
        return whole(session, keyring, controller, wanted)

    monkeypatch.setattr(intake, "submit_all", counted)
    yield sizes


def statuses(answers: Sequence[Response]) -> list[int]:
    return [answer.status_code for answer in answers]


def of_another_controller(crowd: Crowd, make_key: MakeKey) -> str:
    """A key of a controller who has a model of his own, trained on 7 rows of ada."""
    theirs = make_key(controller="other")
    crowd.api.get(URL, headers={"Authorization": f"Bearer {theirs}"})
    with crowd.runtime.database.write() as session:
        rows = people(ada=7)
        dataset = add_dataset(crowd.runtime, session, rows, name="theirs", controller="other")
        add_model(session, dataset, name="theirs")
    return theirs
