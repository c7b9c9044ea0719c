"""How often a key may call: in one process, in several over Redis, and while Redis is away."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from app.config import Settings
from app.http import rates
from app.http.rates import CallsHere, CallsInRedis, Rate, Rates
from app.main import create_app
from tests.conftest import MakeKey
from tests.servers import free_port

LIST = "/api/v1/erasure-requests"
TWO = Rate(2, 60)


def test_a_rate_is_a_number_and_a_unit() -> None:
    assert Rate.parse("600/minute") == Rate(600, 60)
    assert Rate.parse("5/second") == Rate(5, 1)
    assert Rate.parse("9/hour") == Rate(9, 3600)
    assert Rate.parse("") is None


@pytest.mark.parametrize("text", ["600", "0/minute", "-1/minute", "5/day", "5 / minute", "x"])
def test_a_rate_of_another_form_stops_the_start(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValidationError):
        Settings(data_dir=tmp_path, rate_limit=text)
    with pytest.raises(ValidationError):
        Settings(data_dir=tmp_path, login_failure_limit=text)


def test_the_window_moves_with_the_clock() -> None:
    calls = CallsHere()
    assert calls.wait_at(0.0, "a", TWO) == 0
    assert calls.wait_at(40.0, "a", TWO) == 0
    assert calls.wait_at(50.0, "a", TWO) == 10.0
    assert calls.wait_at(59.0, "a", TWO) == 1.0  # what was refused does not count
    assert calls.wait_at(60.0, "a", TWO) == 0
    assert calls.wait_at(61.0, "a", TWO) == 39.0


def test_callers_are_counted_apart() -> None:
    calls = CallsHere()
    assert [calls.wait_at(0.0, who, Rate(1, 60)) for who in "aba"] == [0, 0, 60.0]


def test_many_callers_do_not_fill_the_memory_and_the_silent_are_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rates, "MOST_CALLERS", 3)
    calls, one = CallsHere(), Rate(1, 60)
    for who in "abcad":  # b has not been heard of for longest
        calls.wait_at(0.0, who, one)
    assert len(calls._calls) == 3
    assert calls.wait_at(1.0, "a", one) == 59.0
    assert calls.wait_at(1.0, "b", one) == 0


def test_calls_at_once_are_all_counted() -> None:
    calls, rate = CallsHere(), Rate(500, 60)
    passed = []

    def call() -> None:
        passed.extend(calls.wait("a", rate) == 0 for _ in range(200))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 500


@pytest.fixture
def limited(settings: Settings) -> Iterator[TestClient]:
    few = settings.model_copy(update={"rate_limit": "3/hour"})
    with TestClient(create_app(few)) as client:
        yield client


def test_a_key_that_calls_too_often_is_told_when_to_come_back(
    limited: TestClient, make_key: MakeKey
) -> None:
    key, other = ({"Authorization": f"Bearer {make_key()}"} for _ in range(2))
    assert [limited.get(LIST, headers=key).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = limited.post(LIST, headers=key, json={})
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:lotus-unlearning:problem:rate-limited"
    wait = int(refused.headers["Retry-After"])
    assert 0 < wait <= 3600
    assert refused.headers["RateLimit"] == f'"calls";r=0;t={wait}'
    assert refused.headers["RateLimit-Policy"] == '"calls";q=3;w=3600'
    assert refused.headers["Cache-Control"] == "no-store"
    assert limited.get(LIST, headers=other).status_code == 200


def test_an_upload_is_one_call_and_what_operators_ask_is_none(
    limited: TestClient, make_key: MakeKey
) -> None:
    headers = {"Authorization": f"Bearer {make_key()}"}
    for _ in range(5):
        assert limited.get("/livez", headers=headers).status_code == 200
        assert limited.get("/readyz", headers=headers).status_code == 200
        assert limited.get("/metrics", headers=headers).status_code == 200
    chunks = (bytes(1000) for _ in range(100))
    wrong = limited.put(f"/api/v1/artifacts/{'0' * 64}", headers=headers, content=chunks)
    assert wrong.status_code == 422
    assert [limited.get(LIST, headers=headers).status_code for _ in range(3)] == [200, 200, 429]


def test_no_limit_where_the_setting_is_empty(settings: Settings, make_key: MakeKey) -> None:
    free = settings.model_copy(update={"rate_limit": "", "login_failure_limit": ""})
    with TestClient(create_app(free)) as client:
        good = {"Authorization": f"Bearer {make_key()}"}
        bad = {"Authorization": "Bearer lot_nothing"}
        assert {client.get(LIST, headers=good).status_code for _ in range(5)} == {200}
        assert {client.get(LIST, headers=bad).status_code for _ in range(30)} == {401}


def test_the_limits_are_on_by_default_and_leave_a_dashboard_alone() -> None:
    limits = Rates.of(
        Settings.model_fields["rate_limit"].default,
        Settings.model_fields["login_failure_limit"].default,
        None,
    )
    assert limits.calls.rate is not None and limits.refusals.rate is not None
    amount, seconds = limits.calls.rate
    # Twenty dashboards on one key that ask every two seconds, and a burst of a thousand requests.
    assert amount >= 20 * seconds / 2 + 1000


def test_processes_count_together_in_redis(redis_url: str) -> None:
    one, other = CallsInRedis(redis_url), CallsInRedis(redis_url)
    who = f"test-{time.time_ns()}"
    assert one.wait(who, TWO) == 0
    assert other.wait(who, TWO) == 0
    assert 1 <= one.wait(who, TWO) <= 60
    assert 1 <= other.wait(who, TWO) <= 60
    assert one.wait(who + "b", TWO) == 0


def test_while_redis_is_away_every_call_passes_and_the_log_says_so_once(
    settings: Settings, make_key: MakeKey, caplog: pytest.LogCaptureFixture
) -> None:
    gone = f"redis://127.0.0.1:{free_port()}/0"
    few = settings.model_copy(update={"rate_limit": "1/hour", "rate_limit_url": gone})
    headers = {"Authorization": f"Bearer {make_key()}"}
    with TestClient(create_app(few)) as client, caplog.at_level(logging.WARNING, "lotus.rates"):
        assert {client.get(LIST, headers=headers).status_code for _ in range(5)} == {200}
    assert [record.name for record in caplog.records].count("lotus.rates") == 1


def test_a_redis_that_does_not_answer_is_left_alone_for_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        calls = CallsInRedis(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        hit = calls._window.hit

        def counted(*arguments: object) -> bool:
            nonlocal asked
            asked += 1
            return bool(hit(*arguments))  # type: ignore[arg-type]

        monkeypatch.setattr(calls._window, "hit", counted)
        assert [calls.wait("a", TWO) for _ in range(20)] == [0.0] * 20
    assert asked == 1


def test_once_redis_is_back_it_is_asked_again(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "REST_SECONDS", 0.0)
    calls = CallsInRedis(redis_url)
    who = f"test-{time.time_ns()}"
    hit = calls._window.hit

    def away(*arguments: object) -> bool:
        raise OSError

    monkeypatch.setattr(calls._window, "hit", away)
    assert {calls.wait(who, Rate(1, 60)) for _ in range(3)} == {0.0}
    monkeypatch.setattr(calls._window, "hit", hit)
    assert calls.wait(who, Rate(1, 60)) == 0.0
    assert calls.wait(who, Rate(1, 60)) > 0
