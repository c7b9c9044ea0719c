"""Does a worker still take messages? Counted against a real broker, and against none."""

from celery import Celery
from redis import Redis

from app import bell
from workers.pulse import MOST_UNANSWERED, Pulse

NOWHERE = "redis://127.0.0.1:1/0"


def test_messages_that_nobody_takes_are_a_stall_and_one_that_arrives_ends_it(
    redis_url: str,
) -> None:
    pulse = Pulse(bell.sender(redis_url), "pulse.test-stall")
    try:
        for _ in range(MOST_UNANSWERED):
            pulse.send()
        assert not pulse.stalled()
        pulse.send()
        assert pulse.stalled()
        pulse.arrived()
        assert not pulse.stalled()
        with Redis.from_url(redis_url) as redis:
            assert redis.llen("pulse.test-stall") == MOST_UNANSWERED + 1
    finally:
        with Redis.from_url(redis_url) as redis:
            redis.delete("pulse.test-stall")


def test_a_worker_that_computes_is_not_stalled_and_sends_itself_nothing(redis_url: str) -> None:
    pulse = Pulse(bell.sender(redis_url), "pulse.test-busy")
    with pulse.busy():
        for _ in range(2 * MOST_UNANSWERED):
            pulse.send()
        assert not pulse.stalled()
    assert not pulse.stalled()
    with Redis.from_url(redis_url) as redis:
        assert redis.llen("pulse.test-busy") == 0


def test_a_broker_that_is_away_is_no_stall() -> None:
    celery: Celery = bell.sender(NOWHERE)
    pulse = Pulse(celery, "pulse.test-away")
    for _ in range(2 * MOST_UNANSWERED):
        pulse.send()
    assert not pulse.stalled()
