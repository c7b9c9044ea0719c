"""Questions that come at the same time are answered together, each by a look that began later."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from app.rounds import Rounds


class Slow:
    """Doubles numbers, a round at a time, each as soon as it is let."""

    def __init__(self, threads: int = 1, most: int = 100, **rest: Any) -> None:
        self.rounds: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.whole = Rounds(self._answer, name="test", threads=threads, most=most, **rest)
        self.ask, self.close = self.whole.ask, self.whole.close

    def _answer(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.rounds.append(list(numbers))
        self.begun.release()
        assert self.let.acquire(timeout=30)
        return [KeyError(number) if number < 0 else 2 * number for number in numbers]


async def wait_for(semaphore: threading.Semaphore) -> None:
    assert await asyncio.to_thread(semaphore.acquire, timeout=30)


def test_who_comes_while_others_are_at_work_is_answered_by_the_next_round() -> None:
    slow = Slow()

    async def run() -> list[int]:
        first = asyncio.create_task(slow.ask(1))
        await wait_for(slow.begun)
        later = [asyncio.create_task(slow.ask(number)) for number in (2, 3, 4)]
        await asyncio.sleep(0.05)
        assert slow.rounds == [[1]]  # nobody joins a look that has begun
        slow.let.release(2)
        return [await one for one in (first, *later)]

    assert asyncio.run(run()) == [2, 4, 6, 8]
    assert slow.rounds == [[1], [2, 3, 4]]


def test_a_round_takes_no_more_than_it_may() -> None:
    slow = Slow(most=2)
    slow.let.release(10)

    async def run() -> list[int]:
        return await asyncio.gather(*(slow.ask(number) for number in range(5)))

    assert asyncio.run(run()) == [0, 2, 4, 6, 8]
    assert [len(one) for one in slow.rounds] == [2, 2, 1]


def test_one_round_that_is_stuck_does_not_stop_the_others() -> None:
    slow = Slow(threads=2)

    async def run() -> None:
        stuck = asyncio.create_task(slow.ask(1))
        await wait_for(slow.begun)
        quick = asyncio.create_task(slow.ask(2))
        await wait_for(slow.begun)
        slow.let.release(2)
        assert await asyncio.gather(stuck, quick) == [2, 4]

    asyncio.run(run())


def test_a_round_that_was_stuck_leaves_the_work_to_who_took_over() -> None:
    slow = Slow(threads=3)

    async def run() -> None:
        stuck = asyncio.create_task(slow.ask(1))
        await wait_for(slow.begun)
        await asyncio.sleep(1.0)  # which is how long others wait for it
        second = asyncio.create_task(slow.ask(2))
        await wait_for(slow.begun)
        third = asyncio.create_task(slow.ask(3))
        slow.let.release()  # of the first two, whichever
        await asyncio.wait((stuck, second), return_when=asyncio.FIRST_COMPLETED)
        slow.let.release(2)
        assert await asyncio.gather(stuck, second, third) == [2, 4, 6]
        assert slow.rounds == [[1], [2], [3]]
        await asyncio.sleep(0)
        assert not slow.whole.is_busy and slow.whole.waiting == 0

    asyncio.run(run())


def test_questions_that_can_be_repeated_are_when_their_round_is_stuck() -> None:
    slow = Slow(threads=3, patience=0.1, repeatable=True)

    async def run() -> None:
        asked = [asyncio.create_task(slow.ask(number)) for number in (1, 2)]
        await wait_for(slow.begun)
        await wait_for(slow.begun)
        assert slow.rounds[0] == slow.rounds[1] == [1, 2]
        slow.let.release()
        assert await asyncio.gather(*asked) == [2, 4]
        slow.let.release(3)

    asyncio.run(run())


def test_groups_do_not_wait_for_each_other_and_each_goes_one_round_at_a_time() -> None:
    slow = Slow(threads=2)

    async def run() -> None:
        asked = [asyncio.create_task(slow.ask(number, group="a")) for number in (1, 2)]
        await wait_for(slow.begun)
        asked += [asyncio.create_task(slow.ask(3, group="a"))]
        asked += [asyncio.create_task(slow.ask(4, group="b"))]
        await wait_for(slow.begun)
        assert slow.rounds == [[1, 2], [4]]
        slow.let.release(3)
        assert await asyncio.gather(*asked) == [2, 4, 6, 8]
        assert slow.rounds[2] == [3]

    asyncio.run(run())


def test_after_a_round_of_several_the_next_waits_for_as_many_and_not_for_ever() -> None:
    slow = Slow(linger=30.0)

    async def ask(*numbers: int) -> list[int]:
        asked = asyncio.gather(*(slow.ask(number) for number in numbers))
        await wait_for(slow.begun)
        await asyncio.sleep(0.3)  # which is how long the next one will wait
        slow.let.release()
        return await asked

    async def run() -> None:
        assert await ask(1, 2, 3) == [2, 4, 6]
        first = asyncio.create_task(slow.ask(4))
        await asyncio.sleep(0.02)
        assert len(slow.rounds) == 1
        assert await ask(5, 6) == [10, 12] and await first == 8
        assert slow.rounds[1:] == [[4, 5, 6]]
        assert await ask(7) == [14]  # nobody else came
        assert await ask(8) == [16]
        assert slow.rounds[2:] == [[7], [8]]

    asyncio.run(run())


def test_an_error_is_that_of_who_asked() -> None:
    slow = Slow()
    slow.let.release(10)

    async def run() -> list[int | BaseException]:
        return await asyncio.gather(*(slow.ask(n) for n in (1, -1, 3)), return_exceptions=True)

    found = asyncio.run(run())
    assert (found[0], found[2]) == (2, 6) and isinstance(found[1], KeyError)


def test_a_round_that_fails_fails_for_all_of_it_and_the_next_one_works() -> None:
    fails = [True, False]

    def answer(numbers: Sequence[int]) -> list[int]:
        if fails.pop(0):
            raise OSError
        return list(numbers)

    ask = Rounds(answer, name="test", threads=1, most=10).ask

    async def run() -> int:
        both = await asyncio.gather(ask(1), ask(2), return_exceptions=True)
        assert [type(one) for one in both] == [OSError, OSError]
        return await ask(3)

    assert asyncio.run(run()) == 3


def test_who_has_gone_takes_no_answer_from_others() -> None:
    slow = Slow()

    async def run() -> int:
        first = asyncio.create_task(slow.ask(1))
        await wait_for(slow.begun)
        gone, stays = (asyncio.create_task(slow.ask(number)) for number in (2, 3))
        await asyncio.sleep(0)
        gone.cancel()
        slow.let.release(2)
        await first
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await stays

    assert asyncio.run(run()) == 6
    assert slow.rounds == [[1], [3]]


def test_a_second_loop_is_served_as_well_and_so_is_who_comes_after_the_end() -> None:
    slow = Slow()
    slow.let.release(10)
    assert [asyncio.run(slow.ask(number)) for number in (1, 2)] == [2, 4]
    slow.close()
    assert asyncio.run(slow.ask(3)) == 6
