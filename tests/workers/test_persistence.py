"""A database that is away for a while undoes no work; anything else is told at once."""

from collections.abc import Callable

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from workers import persistence
from workers.persistence import persist


def away() -> OperationalError:
    return OperationalError("COMMIT", None, ConnectionError())


def failing(times: int, error: Callable[[], Exception]) -> tuple[list[int], Callable[[], str]]:
    """A write that fails so often, and the numbers of its tries."""
    tries: list[int] = []

    def write() -> str:
        tries.append(len(tries) + 1)
        if len(tries) <= times:
            raise error()
        return "written"

    return tries, write


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "FIRST_PAUSE_SECONDS", 0.01)


def test_a_write_is_tried_until_the_database_is_back() -> None:
    tries, write = failing(3, away)
    assert persist(write, seconds=5) == "written"
    assert tries == [1, 2, 3, 4]


def test_after_so_long_the_last_error_is_the_caller_s() -> None:
    tries, write = failing(1_000, away)
    with pytest.raises(OperationalError):
        persist(write, seconds=0.1)
    assert 2 <= len(tries) < 20


def test_an_error_of_our_own_is_not_tried_again() -> None:
    tries, write = failing(1, lambda: IntegrityError("INSERT", None, ValueError()))
    with pytest.raises(IntegrityError):
        persist(write, seconds=5)
    assert tries == [1]
