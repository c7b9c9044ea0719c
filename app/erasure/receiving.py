"""Requests that come by HTTP, taken in together with those that come at the same time.

What a request costs is mostly the way to the database: its key, its models, its person, its rows,
its commit. Sixteen calls that wait for each other's commits pay for it sixteen times; here they pay
once. A call is answered when the transaction that holds it has committed, and not before.

Only what goes smoothly is taken in together. Whatever does not, from a key that is used again to a
transaction that meets another one, is undone and done again one by one, as if the others were not
there.
"""

import logging
from collections.abc import Sequence
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
from app.http import idempotency
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
THREADS = 8
# Enough for as many calls as one round answers to be read.
LINGER_SECONDS = 0.05

# Another transaction was in the way, of this process or another one (PostgreSQL): it took what this
# one waited for, or both waited for each other.
_IN_THE_WAY = ("40P01", "55P03", "40001")


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


Answer = RequestDetail | Exception


class Reception:
    """One for a process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._rounds: Rounds[Call, RequestDetail] = Rounds(
            self._round, name="intake", most=TOGETHER, threads=THREADS, linger=LINGER_SECONDS
        )

    async def take(self, call: Call) -> RequestDetail:
        return await self._rounds.ask(call, group=call.caller.controller_id)

    def close(self) -> None:
        self._rounds.close()

    def _round(self, calls: Sequence[Call]) -> list[Answer]:
        """Calls of one controller. What may be a repeat comes after what it may repeat."""
        names, first = set[tuple[str, str]](), list[int]()
        for place, call in enumerate(calls):
            if not call.names & names:
                first.append(place)
            names |= call.names
        # In the order of their names: of two processes that take in the same ones one waits for
        # the other, and never each for the other.
        first.sort(key=lambda place: calls[place].body.external_id or "")
        answers: dict[int, Answer] = {}
        if len(first) > 1:
            found = self._together([calls[place] for place in first])
            answers = {place: one for place, one in zip(first, found, strict=True) if one}
        return [answers.get(place) or self._alone(call) for place, call in enumerate(calls)]

    def _together(self, calls: Sequence[Call]) -> Sequence[Answer | None]:
        """None for a call that has to be carried out alone."""
        try:
            # The bell wants to know of one of them.
            with as_request(calls[0].call_id), self._runtime.database.write() as session:
                idempotency.wait_briefly(session)
                answers = self._answers(session, calls)
                session.flush()
                require_unended(session, [call.caller for call in calls])
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in _IN_THE_WAY:
                return [error] * len(calls)  # the database is away: for each of them as well
        except Exception as error:
            log.info("calls not carried out together", extra=fields(why=type(error).__name__))
        else:
            return answers
        return [None] * len(calls)

    def _answers(self, session: Session, calls: Sequence[Call]) -> list[Answer | None]:
        runtime = self._runtime
        controller = calls[0].caller.controller_id
        onces = [_once(runtime, call) for call in calls]
        repeated = idempotency.known(session, controller, onces)
        fresh = [place for place, known in enumerate(repeated) if not known]
        wanted = [_wanted(runtime, calls[place]) for place in fresh]
        found = intake.submit_all(session, runtime.keyring, controller, wanted) if wanted else []
        bell.ring_after_commit(session, runtime.settings)
        answers: list[Answer | None] = [None] * len(calls)
        created: list[tuple[Once, UUID]] = []
        for place, accepted in zip(fresh, found, strict=True):
            if isinstance(accepted, Problem):
                answers[place] = accepted
            else:
                answers[place] = _shown(runtime, session, accepted, calls[place].now)
                created.append((onces[place], accepted.request.id))
        idempotency.keep(session, created)
        return answers

    def _alone(self, call: Call) -> Answer:
        with as_request(call.call_id):
            try:
                with self._runtime.database.write() as session:
                    detail = self._answer(session, call)
                    session.flush()
                    require_unended(session, [call.caller])
                return detail
            except Exception as error:
                return error

    def _answer(self, session: Session, call: Call) -> RequestDetail:
        runtime, controller = self._runtime, call.caller.controller_id
        once, wanted = _once(runtime, call), _wanted(runtime, call)
        if (known := once.earlier(session, wanted.identity)) is not None:
            request = lookup.get_request(session, known, controller=controller)
            return _shown(runtime, session, Accepted(request, False), call.now)
        accepted = intake.submit(
            session, runtime.keyring, wanted.submission, identity=wanted.identity, now=call.now
        )
        if not accepted.is_new:
            once.created(session, accepted.request.id)
        bell.ring_after_commit(session, runtime.settings)
        return _shown(runtime, session, accepted, call.now)


def _once(runtime: Runtime, call: Call) -> Once:
    owner = call.caller.controller_id
    said = owner.bytes + call.raw
    return Once(runtime.keyring, owner, "erasure-body", said, call.key, now=call.now)


def _wanted(runtime: Runtime, call: Call) -> Wanted:
    submission = submission_of(call.body, call.caller, runtime.keyring, raw=call.raw)
    return Wanted(submission, new_id(), call.now)


def _shown(runtime: Runtime, session: Session, accepted: Accepted, now: datetime) -> RequestDetail:
    coalesce, request = runtime.settings.coalesce, accepted.request
    if accepted.items:
        return views.of_new(session, request, accepted.items, coalesce=coalesce, now=now)
    return views.detail(session, request, coalesce=coalesce, now=now)
