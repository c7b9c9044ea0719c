"""Streams of events, over real connections."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import event

from app.erasure import following
from app.erasure.tables import ErasureRequest, Run
from app.keys.scopes import Scope
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import Cases
from tests.erasure.working import Hand
from tests.listening import listening


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "EVERY_SECONDS", 0.05)


@pytest.fixture
def now() -> datetime:
    """Later than every acceptance."""
    return datetime.now(UTC) + timedelta(minutes=5)


@pytest.fixture
def address(cases: Cases) -> Iterator[str]:
    app: Any = cases.api.app
    with listening(app) as url:
        yield url
        app.state.following.stop()


class Listener:
    """One stream, read as a browser would."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()
        self.comments = 0

    def next(self) -> tuple[str, str | None, dict[str, Any]]:
        """The name, the id and the data of the next event; StopIteration at the end."""
        name, identity, data = "", None, None
        for line in self._lines:
            field, _, value = line.partition(": ")
            if line == "" and data is not None:
                return name, identity, json.loads(data)
            if line.startswith(":"):
                self.comments += 1
            elif field == "event":
                name = value
            elif field == "id":
                identity = value
            elif field == "data":
                data = value
        raise StopIteration

    def ends(self) -> bool:
        return all(line in ("", ":") for line in self._lines)


@contextmanager
def stream(
    address: str, cases: Cases, path: str, seen: str | None = None, key: str | None = None
) -> Iterator[Listener]:
    headers = {"Authorization": key or cases.api.headers["Authorization"]}
    if seen:
        headers["Last-Event-ID"] = seen
    with (
        httpx2.Client(timeout=30) as client,
        client.stream("GET", f"{address}/api/v1{path}/events", headers=headers) as answer,
    ):
        yield Listener(answer)


def of_request(identity: str) -> str:
    return f"/erasure-requests/{identity}"


def test_a_request_is_told_at_once_and_after_every_change_until_it_cannot_change(
    address: str, cases: Cases, hand: Hand, now: datetime
) -> None:
    identity = cases.submit("ada")
    with stream(address, cases, of_request(identity)) as listener:
        assert listener.answer.headers["content-type"].startswith("text/event-stream")
        name, first, data = listener.next()
        assert (name, data["id"], data["state"]) == ("request", identity, "scheduled")
        assert {**data, "waits_for": None} == {**cases.get(identity), "waits_for": None}
        hand.must_claim(now)
        _, second, data = listener.next()
        assert (data["state"], data["items"][0]["state"]) == ("running", "running")
        assert first != second
        cases.cancel(identity)
        assert listener.next()[2]["state"] == "cancelled"
        assert listener.next()[0] == "end"
        assert listener.ends()


def test_a_completed_case_is_followed_until_it_is_closed(
    address: str, cases: Cases, hand: Hand, now: datetime, runtime: Runtime
) -> None:
    identity = cases.submit("ada")
    with stream(address, cases, of_request(identity)) as listener:
        listener.next()
        hand.publish(hand.must_claim(now), now)
        states = []
        while not states or states[-1] != "completed":
            states.append(listener.next()[2]["state"])
        with runtime.database.write() as session:
            request = session.get_one(ErasureRequest, UUID(hex=identity[4:]))
            request.closed_at, request.row_version = now, request.row_version + 1
        assert listener.next()[2]["closed_at"] is not None
        assert listener.next()[0] == "end"


def test_whoever_connects_again_hears_only_what_is_new(
    address: str, cases: Cases, hand: Hand, now: datetime
) -> None:
    identity = cases.submit("ada")
    with stream(address, cases, of_request(identity)) as listener:
        _, seen, _ = listener.next()
    with stream(address, cases, of_request(identity), seen) as listener:
        time.sleep(0.5)
        hand.must_claim(now)
        assert listener.next()[2]["state"] == "running"
    cases.cancel(identity)
    with stream(address, cases, of_request(identity), seen) as listener:
        _, last, data = listener.next()
        assert data["state"] == "cancelled" and listener.next()[0] == "end"
    with stream(address, cases, of_request(identity), last) as listener:
        assert listener.answer.status_code == 204
    with stream(address, cases, of_request(identity), "made up") as listener:
        assert listener.next()[2]["state"] == "cancelled"


def test_a_run_tells_its_progress_and_its_end(
    address: str, cases: Cases, hand: Hand, now: datetime, runtime: Runtime
) -> None:
    cases.submit("ada")
    claim = hand.must_claim(now)
    (run,) = cases.api.get("/api/v1/runs").json()["items"]
    with stream(address, cases, f"/runs/{run['id']}") as listener:
        name, _, data = listener.next()
        assert (name, data) == ("run", run)
        with runtime.database.write() as session:
            session.get_one(Run, UUID(hex=run["id"][4:])).progress = {"epoch": 3}
        assert listener.next()[2]["progress"] == {"epoch": 3}
        hand.publish(claim, now)
        while (told := listener.next())[0] == "run":
            last = told[2]["state"]
        assert (last, told[0]) == ("succeeded", "end")


def test_many_streams_of_many_cases_are_served_by_one_look(
    address: str, cases: Cases, runtime: Runtime
) -> None:
    """Once each has its first event, their number does not change how much is asked."""
    identities = [cases.submit(name) for name in ("ada", "ben", "cleo")]

    def statements() -> int:
        counted = [0]

        def count(*_: Any) -> None:
            counted[0] += 1

        engine = cases.api.app.state.runtime.database.engine  # type: ignore[attr-defined]
        event.listen(engine, "before_cursor_execute", count)
        looks = looks_seen()
        time.sleep(1.0)
        event.remove(engine, "before_cursor_execute", count)
        return round(counted[0] / (looks_seen() - looks))

    def looks_seen() -> int:
        return seen[0]

    seen = [0]
    whole = following.Following._look

    def counting(self: Any, streams: Any) -> Any:
        seen[0] += 1
        return whole(self, streams)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following.Following, "_look", counting)
        with stream(address, cases, of_request(identities[0])) as one:
            one.next()
            alone = statements()
            with (
                stream(address, cases, of_request(identities[1])) as two,
                stream(address, cases, of_request(identities[2])) as three,
                stream(address, cases, of_request(identities[0])) as four,
            ):
                for listener in (two, three, four):
                    listener.next()
                assert statements() == alone <= 5


def test_nothing_is_looked_at_when_nobody_listens(address: str, cases: Cases) -> None:
    identity = cases.submit("ada")
    with stream(address, cases, of_request(identity)) as listener:
        listener.next()
    served = cases.api.app.state  # type: ignore[attr-defined]
    assert eventually(served.following._task.done)
    assert served.stream_slots._taken.total() == 0
    with stream(address, cases, of_request(identity)) as listener:
        assert listener.next()[2]["id"] == identity


def test_a_quiet_stream_is_kept_alive(
    address: str, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "HEARTBEAT_SECONDS", 0.1)
    identity = cases.submit("ada")
    with stream(address, cases, of_request(identity)) as listener:
        listener.next()
        time.sleep(0.6)
        cases.cancel(identity)
        assert listener.next()[2]["state"] == "cancelled"
        assert listener.comments >= 2


def test_a_stream_ends_after_its_time_and_can_be_taken_up_again(
    address: str, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LONGEST_SECONDS", 0.3)
    monkeypatch.setattr(following, "HEARTBEAT_SECONDS", 0.1)
    identity = cases.submit("ada")
    with stream(address, cases, of_request(identity)) as listener:
        listener.next()
        assert listener.ends()


def test_a_revoked_key_ends_its_stream_and_no_other(
    address: str, cases: Cases, make_key: MakeKey
) -> None:
    identity = cases.submit("ada")
    reader = make_key(Scope.REQUESTS_READ)
    (own,) = [
        key["id"]
        for key in cases.api.get("/api/v1/keys").json()["items"]
        if reader.startswith(key["prefix"])
    ]
    with (
        stream(address, cases, of_request(identity)) as other,
        stream(address, cases, of_request(identity), key=f"Bearer {reader}") as listener,
    ):
        other.next()
        listener.next()
        assert cases.api.delete(f"/api/v1/keys/{own}").status_code < 300
        assert listener.ends()
        cases.cancel(identity)
        assert other.next()[2]["state"] == "cancelled"


def test_a_browser_that_logs_out_hears_no_more(
    address: str, cases: Cases, make_key: MakeKey
) -> None:
    identity = cases.submit("ada")
    page = {"Sec-Fetch-Site": "same-origin"}
    key = make_key(Scope.REQUESTS_READ)
    with httpx2.Client(base_url=address, headers=page, timeout=30) as browser:
        browser.post("/api/v1/session", json={"key": key})
        with browser.stream("GET", f"/api/v1{of_request(identity)}/events") as answer:
            listener = Listener(answer)
            assert listener.next()[0] == "request"
            assert browser.delete("/api/v1/session").status_code == 204
            assert listener.ends()
    with stream(address, cases, of_request(identity), key=f"Bearer {key}") as listener:
        assert listener.next()[0] == "request"


def test_a_look_that_fails_is_made_again(
    address: str, cases: Cases, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    identity = cases.submit("ada")
    whole, failed = following.marks, threading.Event()

    def failing(*arguments: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("away")
        return whole(*arguments)

    monkeypatch.setattr(following, "marks", failing)
    caplog.set_level(logging.ERROR)
    with stream(address, cases, of_request(identity)) as listener:
        assert listener.next()[2]["id"] == identity
    assert failed.is_set() and "streams of events were not served" in caplog.text


def test_only_so_many_streams_are_open_at_a_time(address: str, cases: Cases) -> None:
    identity = cases.submit("ada")
    slots = cases.api.app.state.stream_slots  # type: ignore[attr-defined]
    taken = [slots.take("someone") for _ in range(slots.of_one)]
    taken += [slots.take(f"other {n}") for n in range(slots.most - slots.of_one)]
    with stream(address, cases, of_request(identity)) as listener:
        assert listener.answer.status_code == 503
        assert listener.answer.headers["Retry-After"] == "10"
    taken[0]()
    with stream(address, cases, of_request(identity)) as listener:
        assert listener.next()[2]["id"] == identity


def test_streams_end_when_the_service_stops(address: str, cases: Cases) -> None:
    identity = cases.submit("ada")
    with stream(address, cases, of_request(identity)) as listener:
        listener.next()
        cases.api.app.state.following.stop()  # type: ignore[attr-defined]
        assert listener.ends()


@pytest.mark.parametrize("path", ["/erasure-requests/req_", "/runs/run_"])
def test_an_unknown_and_a_foreign_thing_are_answered_alike(
    address: str, cases: Cases, make_key: MakeKey, hand: Hand, now: datetime, path: str
) -> None:
    own = cases.submit("ada")
    hand.must_claim(now)
    if path.endswith("run_"):
        own = cases.api.get("/api/v1/runs").json()["items"][0]["id"]
    foreign = {"Authorization": f"Bearer {make_key(controller='other')}"}
    theirs = cases.api.get(f"/api/v1{path}{own[4:]}/events", headers=foreign)
    nobodys = cases.api.get(f"/api/v1{path}{'0' * 32}/events")
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json() == nobodys.json()


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False
