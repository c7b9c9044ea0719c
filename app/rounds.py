"""Questions that come at the same time, answered together.

What costs is the way to the database and back, and not the row: sixteen calls that each look up a
key cost sixteen ways, and one look for all of them costs one. Who finds nobody at work is answered
at once, and who comes while a round is on its way waits for the next one, together with whoever
else comes.

An answer is never older than its question. So what held when a call came still holds in its answer:
a key that was revoked before opens nothing.
"""

import asyncio
import math
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_Waiting = list[tuple[Question, "asyncio.Future[Answer]"]]

# How long a round says anything about the next one.
REMEMBERED_SECONDS = 0.1


class Rounds(Generic[Question, Answer]):
    """`answer` is called in a thread, with `most` questions at most, and gives as many answers in
    the same order; one that is an exception is raised to who asked. If it raises itself, all of
    them are told. Who has gone by then is left out.

    Questions of one `group` are answered by one round after the other; groups do not wait for each
    other, unless more than `threads` rounds are on their way. A round that takes longer than
    `patience` seconds is stuck, at a lock, or with a connection that nobody answers any more: the
    next one begins beside it, and asks its questions again if they are `repeatable`.

    After a round of several the next one waits until as many have come, but no longer than that
    round took, nor than `linger` seconds: callers who were answered together come back one after
    the other, and the first of them would else have a round for himself, every other time. Who
    comes alone again and again never waits. What a group was like is remembered, so there must not
    be endlessly many.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Question]], Sequence[Answer | Exception]],
        *,
        name: str,
        most: int,
        threads: int,
        linger: float = 0.0,
        patience: float = 1.0,
        repeatable: bool = False,
    ) -> None:
        self._answer = answer
        self._patience = patience
        self._repeatable = repeatable
        self._linger = linger
        self._most = most
        self._at_once = threads
        self._name = name
        self._threads: ThreadPoolExecutor | None = None
        # A process has one loop; tests have many, each for a while.
        self._of: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[Hashable, _Group[Question, Answer]]
        ] = WeakKeyDictionary()

    async def ask(self, question: Question, *, group: Hashable = None) -> Answer:
        loop = asyncio.get_running_loop()
        groups = self._of.get(loop)
        if groups is None:
            groups = self._of.setdefault(loop, {})
        own = groups.get(group)
        if own is None:
            own = groups[group] = _Group()
        future: asyncio.Future[Answer] = loop.create_future()
        own.waiting.append((question, future))
        if own.enough is not None and len(own.waiting) >= own.together:
            own.enough.set()
        self._see_to(own, loop)
        return await future

    def _see_to(self, own: "_Group[Question, Answer]", loop: asyncio.AbstractEventLoop) -> None:
        """That who waits is answered: at once, or once who is at work turns out to be stuck."""
        is_stuck = own.is_stuck(loop.time(), self._patience)
        if self._repeatable and is_stuck:
            own.waiting[:0] = [one for worker in own.workers for one in worker.give_up()]
        if own.waiting and is_stuck and len(own.workers) < self._at_once:
            worker = _Worker[Question, Answer](loop.time())
            own.workers.append(worker)
            # What is logged in a round belongs to no single call.
            task = loop.create_task(self._work(own, worker), context=Context())
            own.tasks.add(task)  # the loop itself would forget it
            task.add_done_callback(own.tasks.discard)
        if own.look_again is None and (own.waiting or own.workers):
            own.look_again = loop.call_later(self._patience, self._look_again, own, loop)

    def _look_again(self, own: "_Group[Question, Answer]", loop: asyncio.AbstractEventLoop) -> None:
        own.look_again = None
        self._see_to(own, loop)

    async def _work(self, own: "_Group[Question, Answer]", me: "_Worker[Question, Answer]") -> None:
        loop = asyncio.get_running_loop()
        # Between the last look at who waits and the end of work nothing else runs, so nobody can
        # come in between and be forgotten.
        try:
            while own.waiting:
                me.began = loop.time()
                if me.began < own.ended + REMEMBERED_SECONDS:
                    await self._wait_for_others(own)
                some = own.waiting[: self._most]
                del own.waiting[: self._most]
                me.began, me.some = loop.time(), some
                await self._one_round([one for one in some if not one[1].done()])
                me.some = []
                own.together, own.ended = len(some), loop.time()
                own.took = own.ended - me.began
                if not own.is_stuck(own.ended, self._patience, but=me):
                    break  # it was I who was, and somebody else has taken over
        finally:
            own.workers.remove(me)

    async def _wait_for_others(self, own: "_Group[Question, Answer]") -> None:
        if self._linger and len(own.waiting) < own.together:
            own.enough = asyncio.Event()
            try:
                async with asyncio.timeout(min(own.took, self._linger)):
                    await own.enough.wait()
            except TimeoutError:
                pass
            finally:
                own.enough = None

    async def _one_round(self, some: "_Waiting[Question, Answer]") -> None:
        if not some:
            return
        loop = asyncio.get_running_loop()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._at_once, thread_name_prefix=self._name)
        questions = [question for question, _ in some]
        answers: Sequence[Answer | Exception]
        try:
            answers = await loop.run_in_executor(self._threads, self._answer, questions)
            if len(answers) != len(some):
                raise ValueError(f"{len(answers)} answers to {len(some)} questions")
        except Exception as error:
            answers = [error] * len(some)
        except BaseException:  # the loop ends
            for _, future in some:
                future.cancel()
            raise
        for (_, future), answer in zip(some, answers, strict=True):
            if future.done():
                continue  # who asked has gone
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    @property
    def waiting(self) -> int:
        """How many wait for a round to begin."""
        return sum(len(own.waiting) for own in self._groups())

    @property
    def is_busy(self) -> bool:
        return any(own.workers for own in self._groups())

    def _groups(self) -> "list[_Group[Question, Answer]]":
        return [own for groups in list(self._of.values()) for own in list(groups.values())]

    def close(self) -> None:
        """Ends the threads; whoever asks later begins new ones."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)


class _Worker(Generic[Question, Answer]):
    def __init__(self, began: float) -> None:
        # Of its present round, by the clock of the loop.
        self.began = began
        self.some: _Waiting[Question, Answer] = []

    def give_up(self) -> "_Waiting[Question, Answer]":
        some, self.some = self.some, []
        return [one for one in some if not one[1].done()]


class _Group(Generic[Question, Answer]):
    def __init__(self) -> None:
        self.waiting: _Waiting[Question, Answer] = []
        self.workers: list[_Worker[Question, Answer]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.look_again: asyncio.TimerHandle | None = None
        # Of the last round: how many they were, how long it took and when it ended.
        self.together, self.took, self.ended = 0, 0.0, -math.inf
        self.enough: asyncio.Event | None = None

    def is_stuck(
        self, now: float, patience: float, *, but: "_Worker[Question, Answer] | None" = None
    ) -> bool:
        """Nobody is at work, or whoever is has been for too long."""
        return all(now - one.began >= patience for one in self.workers if one is not but)
