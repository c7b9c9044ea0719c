"""Another process is in the way of requests that are taken in together."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select, text

from app.db import Database
from app.erasure import finding
from app.erasure.tables import ErasureRequest
from app.http import idempotency
from app.http.tables import IdempotencyKey
from app.ids import new_id
from app.keys import changing, service
from app.keys.tables import Controller
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import URL
from tests.erasure.crowd import SECONDS, Crowd, call, crowd, statuses, together
from tests.erasure.factories import add_dataset, add_model, people

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
    theirs = make_key(controller="other")
    crowd.api.get(URL, headers={"Authorization": f"Bearer {theirs}"})
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(ada=7), name="theirs", controller="other")
        add_model(session, dataset, name="theirs")
    with ThreadPoolExecutor(1) as threads:
        with runtime.database.write() as session:
            changing.hold_controller(session, owner(runtime))
            mine = threads.submit(crowd.api.post, URL, **call("ada"))
            other = crowd.api.post(URL, **call("ada", bearer=theirs))
            assert other.status_code == 202 and not mine.done()
        assert mine.result(SECONDS).status_code == 202
