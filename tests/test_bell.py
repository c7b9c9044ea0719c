"""The bell of a fleet, over a real broker."""

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from redis import Redis

from app import bell
from app.bell import MOST_RINGS

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def queue(redis_url: str) -> Iterator[str]:
    name = f"test-bell-{uuid4().hex}"
    yield name
    with Redis.from_url(redis_url) as redis:
        redis.delete(name)


def test_rings_that_nobody_hears_pile_up_to_a_limit_and_go_on_when_some_are_heard(
    redis_url: str, queue: str
) -> None:
    celery = bell.sender(redis_url)
    with Redis.from_url(redis_url) as redis:
        for _ in range(MOST_RINGS + 5):
            bell.send(celery, "lotus.work", queue)
        assert redis.llen(queue) == MOST_RINGS
        redis.rpop(queue)
        bell.send(celery, "lotus.work", queue)
        assert redis.llen(queue) == MOST_RINGS


def test_ringing_never_waits_for_a_broker_that_is_away() -> None:
    rung = bell.BrokerBell(NOWHERE)
    started = time.monotonic()
    for _ in range(1_000):
        rung.ring("0" * 32)
    assert time.monotonic() - started < bell.BROKER_SECONDS  # not even once
