"""Requests that are taken in together, and what is in their way or they in: other processes, calls
that wait, a pool without connections, a bell that breaks."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from app import bell
from app.db import Database
from app.erasure import finding, intake
from app.erasure.receiving import Reception
from app.erasure.tables import ErasureRequest
from app.http import idempotency
from app.http.tables import IdempotencyKey
from app.ids import new_id
from app.keys import changing, service
from app.keys.tables import Controller
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import URL
from tests.erasure.crowd import (
    SECONDS,
    Crowd,
    call,
    crowd,
    of_another_controller,
    statuses,
    together,
)

__all__ = ["crowd", "together"]


@pytest.fixture(autouse=True)
def only_where_several_write(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("on SQLite whoever writes is alone")


def once_a_round_has_looked(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Between what a round of several reads and what it writes."""
    whole = finding.find

    def find(session: Any, controller: Any, asked: Any, **rest: Any) -> Any:
        found = whole(session, controller, asked, **rest)
        if len(asked) > 1:
            act()
        return found

    monkeypatch.setattr(finding, "find", find)


def owner(runtime: Runtime) -> Any:
    with runtime.database.read() as session:
        named = select(Controller.id).where(Controller.name == service.DEFAULT_CONTROLLER)
        return session.scalars(named).one()


def test_an_external_id_that_another_process_has_just_taken_is_a_repeat(
    crowd: Crowd, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, together: list[int]
) -> None:
    first = crowd.api.post(URL, **call("ada", external_id="c-1"))
    with runtime.database.write() as session:
        row = session.scalars(select(ErasureRequest)).one()
        row.external_id = "c-0"

    def take() -> None:
        with runtime.database.write() as session:
            session.get_one(ErasureRequest, row.id).external_id = "c-1"

    once_a_round_has_looked(monkeypatch, take)
    calls = [call("ada", external_id="c-1"), call("ben", external_id="c-2"), call("cleo")]
    answers = crowd.send(calls)
    assert statuses(answers) == [202, 202, 202]
    assert answers[0].json()["id"] == first.json()["id"]
    assert together == [1, 1, 3, 1, 1, 1]  # all of them, and then each alone
    with runtime.database.read() as session:
        assert session.scalars(select(func.count()).select_from(ErasureRequest)).one() == 4


def test_a_key_that_another_process_is_using_keeps_its_own_call_waiting_alone(
    crowd: Crowd, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_SHORT_WAIT", text("SET LOCAL lock_timeout = 200"))
    monkeypatch.setattr(idempotency, "_LIMITED_WAIT", text("SET LOCAL lock_timeout = 200"))
    taken, over = threading.Event(), threading.Event()
    controller = owner(runtime)

    def use() -> None:
        with runtime.database.write() as session:
            used = idempotency.Once(
                runtime.keyring, controller, "erasure-body", b"x", "k-1", now=crowd.now
            )
            assert used.earlier(session, new_id()) is None
            taken.set()
            assert over.wait(SECONDS)

    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(use)
        assert taken.wait(SECONDS)
        answers = crowd.send([call("ada", key="k-1"), call("ben", key="k-2"), call("cleo")])
        over.set()
        other.result(SECONDS)
    assert statuses(answers) == [409, 202, 202]
    assert answers[0].json()["type"].endswith(":idempotency-key-in-use")
    with runtime.database.read() as session:
        assert session.scalars(select(func.count()).select_from(IdempotencyKey)).one() == 2


def test_a_controller_that_has_to_wait_keeps_no_other_waiting(
    crowd: Crowd, runtime: Runtime, make_key: MakeKey
) -> None:
    theirs = of_another_controller(crowd, make_key)
    with ThreadPoolExecutor(1) as threads:
        with runtime.database.write() as session:
            changing.hold_controller(session, owner(runtime))
            mine = threads.submit(crowd.api.post, URL, **call("ada"))
            other = crowd.api.post(URL, **call("ada", bearer=theirs))
            assert other.status_code == 202 and not mine.done()
        assert mine.result(SECONDS).status_code == 202


def blocked(runtime: Runtime) -> int:
    with runtime.database.read() as session:
        waits = text(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return session.scalars(waits).one()


def until(done: Any) -> None:
    end = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_call_that_another_process_takes_in_alone_meets_no_deadlock(
    crowd: Crowd, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same call at two processes: one has it in a round, the other has it alone."""
    same = call("ada", external_id="c-1", key="k-1")
    reception, other, seen = Reception(crowd.reception._runtime), [], []
    take, whole = crowd.reception._round, intake.submit_all

    def spy(calls: Any) -> Any:
        seen.extend(one for one in calls if one.key == "k-1")
        return take(calls)

    monkeypatch.setattr(crowd.reception.rounds, "_answer", spy)
    with ThreadPoolExecutor(1) as threads:

        def submit_all(session: Any, keyring: Any, controller: Any, wanted: Any) -> Any:
            if len(wanted) > 1:
                other.append(threads.submit(reception._carried_out, seen[0]))
                until(lambda: blocked(runtime))
            return whole(session, keyring, controller, wanted)

        monkeypatch.setattr(intake, "submit_all", submit_all)
        answers = crowd.send([same, call("ben", external_id="c-2", key="k-2")])
        elsewhere = other[0].result(SECONDS)
    assert statuses(answers) == [202, 202]
    assert f"req_{elsewhere.id.hex}" == answers[0].json()["id"]


def test_of_two_that_wait_for_each_other_the_one_that_is_refused_tries_again(
    crowd: Crowd, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, refused = intake.submit_all, []

    class Deadlock(Exception):
        sqlstate = "40P01"

    def submit_all(session: Any, keyring: Any, controller: Any, wanted: Any) -> Any:
        found = whole(session, keyring, controller, wanted)
        if len(refused) < 2:
            refused.append(wanted)
            raise OperationalError("INSERT", None, Deadlock())
        return found

    monkeypatch.setattr(intake, "submit_all", submit_all)
    assert crowd.api.post(URL, **call("ada", key="k-1")).status_code == 202
    assert len(refused) == 2


def test_a_call_that_has_to_wait_keeps_no_other_waiting(crowd: Crowd, runtime: Runtime) -> None:
    """Its external id is held by a transaction of another process that is stuck."""
    assert crowd.api.post(URL, **call("ada", external_id="c-0")).status_code == 202
    let_go = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with runtime.database.write() as session:
            row = session.scalars(
                select(ErasureRequest).where(ErasureRequest.external_id == "c-0")
            ).one()
            row.external_id = "c-1"
            session.flush()
            held.set()
            let_go.wait(SECONDS)

    with ThreadPoolExecutor(3) as threads:
        threads.submit(hold)
        assert held.wait(SECONDS)
        stuck = threads.submit(crowd.api.post, URL, **call("ben", external_id="c-1"))
        until(lambda: blocked(runtime))
        free = threads.submit(crowd.api.post, URL, **call("cleo", external_id="c-2"))
        try:
            assert free.result(5).status_code == 202
        finally:
            let_go.set()
            stuck.result(SECONDS)


def test_a_bell_that_breaks_doubles_nothing(
    crowd: Crowd, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has committed is not done again, whatever fails after the commit."""

    def broken(settings: Any) -> None:
        raise RuntimeError("can't start new thread")

    def break_it(session: Any) -> None:
        monkeypatch.setattr(bell, "ring", broken)

    answers = crowd.send([call("ada"), call("ben"), call("cleo")], break_it)
    assert statuses(answers) == [202] * 3
    with runtime.database.read() as session:
        stored = session.scalars(select(func.count()).select_from(ErasureRequest)).one()
    assert stored == 1 + 3


def test_a_pool_that_is_empty_is_waited_for_once(
    crowd: Crowd, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    take = crowd.reception._round

    def spy(some: Any) -> Any:
        calls.extend(some)
        return take(some)

    monkeypatch.setattr(crowd.reception.rounds, "_answer", spy)
    crowd.send([call("ada") for _ in range(5)])
    reception = Reception(crowd.reception._runtime)
    pool = reception._runtime.database.engine.pool
    pool._timeout = 1.0  # type: ignore[attr-defined]
    most = pool.size() + pool._max_overflow  # type: ignore[attr-defined]
    held = [pool.connect() for _ in range(most)]
    began = time.monotonic()
    answers = reception._round(calls[-5:])
    took = time.monotonic() - began
    for one in held:
        one.close()
    assert all(isinstance(one, Exception) for one in answers)
    assert took < 2.5, (took, [type(one).__name__ for one in answers])
