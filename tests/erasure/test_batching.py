from datetime import UTC, datetime, timedelta

import pytest

from app.erasure.batching import Waiting, ready_at

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def test_a_batch_is_ready_when_its_first_item_has_waited_the_window() -> None:
    waiting = [Waiting(NOW + MINUTE, NOW + 30 * DAY), Waiting(NOW, NOW + 30 * DAY)]
    assert ready_at(waiting, window=5 * MINUTE) == NOW + 5 * MINUTE


def test_without_a_window_a_batch_is_ready_at_once() -> None:
    assert ready_at([Waiting(NOW, NOW + 30 * DAY)], window=timedelta()) == NOW


def test_a_near_due_date_leaves_only_three_runs_of_reserve() -> None:
    waiting = [Waiting(NOW, NOW + 2 * DAY)]
    ready = ready_at(waiting, window=10 * DAY, run_time=timedelta(hours=8))
    assert ready == NOW + 2 * DAY - timedelta(hours=24)


def test_an_item_that_is_overdue_already_does_not_wait_at_all() -> None:
    assert ready_at([Waiting(NOW, NOW - DAY)], window=DAY) < NOW


def test_nothing_waiting_has_no_ready_time() -> None:
    with pytest.raises(ValueError, match="no item"):
        ready_at([], window=DAY)
