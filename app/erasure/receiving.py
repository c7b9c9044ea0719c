"""Requests that come by HTTP, taken in together with those that come at the same time.

What a request costs is mostly the way to the database: its key, its models, its person, its rows,
its commit. Sixteen calls that wait for each other's commits pay for it sixteen times; here they pay
once. A call is answered when the transaction that holds it has committed, and not before.

Only what goes smoothly is taken in together. A key or a case number that is used twice comes after
the others, alone; whatever else goes wrong, from a key that was revoked meanwhile to a transaction
that meets another one, undoes all of it, and then each call is carried out alone.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import bell
from app.erasure import intake, lookup, views
from app.erasure.schemas import RequestDetail, SubmitErasure
from app.erasure.storing import Accepted, Wanted
from app.erasure.submitting import submission_of
from app.http import idempotency, problems
from app.http.idempotency import Once
from app.http.problems import Problem
from app.ids import new_id
from app.keys.auth import Caller, require_unended
from app.observability import as_request, fields
from app.rounds import Rounds
from app.runtime import Runtime

log = logging.getLogger("lotus.erasure")

# Requests in one transaction: other writers wait no longer than these take.
TOGETHER = 50
# A controller whose models are just being registered keeps its own calls waiting, and no others.
THREADS = 16
# Calls that are carried out alone at the same time.
ALONE = 16
ATTEMPTS = 3
# Enough for as many calls as one round answers to be read.
LINGER_SECONDS = 0.05

# PostgreSQL refuses one of two transactions that wait for each other, or who waited too long.
MET_ANOTHER = ("40P01", "40001")
IN_THE_WAY = (*MET_ANOTHER, "55P03")


@dataclass(frozen=True)
class Call:
    """A call that submits a request. `call_id` names it in the log."""

    caller: Caller
    body: SubmitErasure
    raw: bytes
    key: str | None
    now: datetime
    call_id: str | None

    @property
    def names(self) -> set[tuple[str, str]]:
        """What makes it a repeat of another call that has one of them."""
        found = {"external id": self.body.external_id, "key": self.key}
        return {(kind, name) for kind, name in found.items() if name is not None}


Answer = RequestDetail | Exception | None


class Reception:
    """One for a process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.rounds: Rounds[Call, RequestDetail | None] = Rounds(
            self._round, name="intake", most=TOGETHER, threads=THREADS, linger=LINGER_SECONDS
        )
        self._alone: ThreadPoolExecutor | None = None

    async def take(self, call: Call) -> RequestDetail:
        detail = await self.rounds.ask(call, group=call.caller.controller_id)
        if detail is not None:
            return detail
        # Apart from the rounds, so that no other call waits while this one does.
        if self._alone is None:
            self._alone = ThreadPoolExecutor(ALONE, thread_name_prefix="intake-alone")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._alone, self._carried_out, call)

    def close(self) -> None:
        self.rounds.close()
        threads, self._alone = self._alone, None
        if threads is not None:
            threads.shutdown(wait=False)

    def _round(self, calls: Sequence[Call]) -> Sequence[Answer]:
        """Calls of one controller; None for those that have to be carried out alone."""
        if len(calls) == 1:
            try:
                return [self._carried_out(calls[0])]
            except Exception as error:
                return [error]
        names, first = set[tuple[str, str]](), list[int]()
        for place, call in enumerate(calls):
            if not call.names & names:  # what may be a repeat comes after what it may repeat
                first.append(place)
            names |= call.names
        # In the order of their names: of two processes that take in the same ones one waits for
        # the other, and never each for the other.
        first.sort(key=lambda place: calls[place].body.external_id or "")
        found = self._together([calls[place] for place in first])
        answers = dict(zip(first, found, strict=True))
        return [answers.get(place) for place in range(len(calls))]

    def _together(self, calls: Sequence[Call]) -> Sequence[Answer]:
        try:
            # The bell wants to know of one of them.
            with as_request(calls[0].call_id), self._runtime.database.write() as session:
                idempotency.wait_briefly(session)
                answers = self._answers(session, calls)
                session.flush()
                require_unended(session, [call.caller for call in calls])
        except problems.DATABASE_AWAY as error:
            if _sqlstate(error) not in IN_THE_WAY:
                # For each of them as well. Logged once.
                log.error("requests not taken in", exc_info=error)
                return [problems.database_away() for _ in calls]
            log.info("calls not carried out together", extra=fields(why=_sqlstate(error)))
        except Exception as error:
            log.info("calls not carried out together", extra=fields(why=type(error).__name__))
        else:
            return answers
        return [None] * len(calls)

    def _answers(self, session: Session, calls: Sequence[Call]) -> list[Answer]:
        runtime = self._runtime
        controller = calls[0].caller.controller_id
        onces = [_once(runtime, call) for call in calls]
        repeated = idempotency.repeated(session, controller, onces)
        fresh = [place for place, is_known in enumerate(repeated) if not is_known]
        wanted = [_wanted(runtime, calls[place], new_id()) for place in fresh]
        answers: list[Answer] = [None] * len(calls)
        if not fresh:
            return answers
        named = [onces[place] for place in fresh]
        idempotency.reserve(
            session, [(once, one.identity) for once, one in zip(named, wanted, strict=True)]
        )
        found = intake.submit_all(session, runtime.keyring, controller, wanted)
        failed: list[Once] = []
        for place, once, accepted in zip(fresh, named, found, strict=True):
            if isinstance(accepted, Problem):
                answers[place] = accepted
                failed.append(once)
            else:
                answers[place] = _shown(runtime, session, accepted, calls[place].now)
                if not accepted.is_new:
                    once.created(session, accepted.request.id)
        idempotency.give_back(session, controller, failed)
        bell.ring_after_commit(session, runtime.settings)
        return answers

    def _carried_out(self, call: Call) -> RequestDetail:
        """Alone. Of two that wait for each other the database refuses one, which has done nothing
        yet and tries again."""
        with as_request(call.call_id):
            for _ in range(ATTEMPTS - 1):
                try:
                    return self._stored(call)
                except OperationalError as error:
                    if _sqlstate(error) not in MET_ANOTHER:
                        raise
            return self._stored(call)

    def _stored(self, call: Call) -> RequestDetail:
        with self._runtime.database.write() as session:
            detail = self._answer(session, call)
            session.flush()
            require_unended(session, [call.caller])
        return detail

    def _answer(self, session: Session, call: Call) -> RequestDetail:
        runtime, controller = self._runtime, call.caller.controller_id
        once, identity = _once(runtime, call), new_id()
        idempotency.limit_wait(session)
        if (known := once.earlier(session, identity)) is not None:
            request = lookup.get_request(session, known, controller=controller)
            return _shown(runtime, session, Accepted(request, False), call.now)
        submission = _wanted(runtime, call, identity).submission
        accepted = intake.submit(
            session, runtime.keyring, submission, identity=identity, now=call.now
        )
        if not accepted.is_new:
            once.created(session, accepted.request.id)
        bell.ring_after_commit(session, runtime.settings)
        return _shown(runtime, session, accepted, call.now)


def _sqlstate(error: Exception) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _once(runtime: Runtime, call: Call) -> Once:
    owner = call.caller.controller_id
    said = owner.bytes + call.raw
    return Once(runtime.keyring, owner, "erasure-body", said, call.key, now=call.now)


def _wanted(runtime: Runtime, call: Call, identity: UUID) -> Wanted:
    submission = submission_of(call.body, call.caller, runtime.keyring, raw=call.raw)
    return Wanted(submission, identity, call.now)


def _shown(runtime: Runtime, session: Session, accepted: Accepted, now: datetime) -> RequestDetail:
    coalesce, request = runtime.settings.coalesce, accepted.request
    if accepted.items:
        return views.of_new(session, request, accepted.items, coalesce=coalesce, now=now)
    return views.detail(session, request, coalesce=coalesce, now=now)
