"""Many deletion requests in one call: read, submitted and answered a few at a time.

A row is submitted exactly as a call of its own would be, and its fault fails no other. Nothing is
kept from one row to the next, so sending a file again only repeats what was accepted before.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import anyio
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

from app import bell
from app.erasure import intake
from app.erasure.bulk_rows import Reader, Row
from app.erasure.schemas import SubmitErasure
from app.erasure.storing import Accepted, Wanted
from app.erasure.submitting import submission_of
from app.http.exchange import Body, Say
from app.http.problems import Internal, InvalidInput, Problem, Unavailable
from app.ids import new_id, request_id
from app.keys.auth import Caller, require_still_valid
from app.observability import fields
from app.runtime import Runtime

log = logging.getLogger("lotus.erasure")

MOST_ROWS = 100_000
# Rows in one transaction: other writers wait no longer than these take.
TOGETHER = 50
# A few rows are not kept waiting for more to come.
PATIENCE_SECONDS = 0.25
# How often rows are tried whose transaction was refused, because it met another one or the database
# was away.
ATTEMPTS = 3
PAUSE_SECONDS = 0.5


class TooManyRows(Problem):
    status = 413
    code = "too-many-rows"
    title = "The file has too many rows"


class Answer(StrEnum):
    """What became of a row."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    INVALID = "invalid"
    CONFLICT = "conflict"
    FAILED = "failed"


class Bulk:
    """One file. `begin` reads as far as its first row, so that a file which cannot be read at all
    is refused as a whole; `carry_out` does the rest."""

    def __init__(
        self,
        runtime: Runtime,
        caller: Caller,
        reader: Reader,
        body: Body,
        clock: Callable[[], datetime],
    ) -> None:
        self._runtime = runtime
        self._caller = caller
        self._reader = reader
        self._body = body
        self._clock = clock
        self._waiting: list[Row] = []
        self._rows = 0
        self._counts: Counter[Answer] = Counter()

    async def begin(self) -> None:
        while not self._waiting and not self._body.over:
            await self._read()
        if not self._waiting:
            raise InvalidInput("The file holds no row.")

    async def carry_out(self, say: Say) -> None:
        """Says one answer a row, and what they come to in the end. ClientDisconnect if the caller
        goes away: what was committed stays."""
        problem: Problem | None = None
        quiet = False
        try:
            while self._waiting or not self._body.over:
                if len(self._waiting) >= TOGETHER or self._body.over or (self._waiting and quiet):
                    await say(await self._submit_some())
                else:
                    quiet = not await self._read(PATIENCE_SECONDS if self._waiting else math.inf)
        except ClientDisconnect:
            log.info("a bulk submission was broken off", extra=fields(rows=self._rows))
            raise
        except Problem as refused:
            problem = refused
        except Exception:
            log.exception("a bulk submission failed")
            problem = Internal("The service failed; its log says why.")
        await say([self._summary(problem)])

    async def _read(self, patience: float = math.inf) -> bool:
        """False if nothing came."""
        piece = await self._body.piece(patience)
        if piece is None:
            return False
        found = list(self._reader.feed(piece))
        if self._body.over:
            found += self._reader.end()
        if found:
            self._body.progressed()
        self._waiting += found
        return True

    async def _submit_some(self) -> list[dict[str, Any]]:
        some = self._waiting[: min(TOGETHER, MOST_ROWS - self._rows)]
        if not some:
            raise TooManyRows(
                f"A file may have at most {MOST_ROWS} rows; send the rest in another."
            )
        answers = await self._tried(some)
        del self._waiting[: len(some)]
        self._rows += len(some)
        self._counts.update(Answer(one["status"]) for one in answers)
        self._body.progressed()  # it was we who took so long
        return answers

    async def _tried(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await run_in_threadpool(self._submitted, rows, self._clock())
            except OperationalError as error:
                log.warning("rows of a bulk submission not committed", exc_info=error)
            if attempt < ATTEMPTS:
                await anyio.sleep(PAUSE_SECONDS * attempt)
        raise Unavailable("The database does not answer at present. Send the file again.")

    def _submitted(self, rows: Sequence[Row], now: datetime) -> list[dict[str, Any]]:
        """In the order of the case numbers: two files that have the same ones wait for each other
        and never each for the other."""
        numbered = sorted(enumerate(rows, start=self._rows + 1), key=_case_number)
        with self._runtime.database.write() as session:
            require_still_valid(session, self._caller, now=now)
            answers = self._together(session, numbered, now)
            for number, row in numbered:
                if number not in answers:
                    answers[number] = self._answer(session, number, row, now)
            bell.ring_after_commit(session, self._runtime.settings)
        return [answers[number] for number in sorted(answers)]

    def _together(
        self, session: Session, numbered: Sequence[tuple[int, Row]], now: datetime
    ) -> dict[int, dict[str, Any]]:
        """The first row of each case number; what may repeat it comes later. Nothing if we fail on
        one of them: then each is done by itself."""
        first: dict[str, tuple[int, SubmitErasure]] = {}
        for number, row in numbered:
            if not isinstance(row, Problem):
                first.setdefault(row.external_id, (number, row))
        if not first:
            return {}
        keyring, caller = self._runtime.keyring, self._caller
        try:
            with session.begin_nested():
                wanted = [
                    Wanted(submission_of(row, caller, keyring), new_id(), now)
                    for _, row in first.values()
                ]
                found = intake.submit_all(session, keyring, caller.controller_id, wanted)
        except OperationalError:
            raise
        except Exception as error:
            log.info("rows not carried out together", extra=fields(why=type(error).__name__))
            return {}
        return {
            number: _said(number, answer)
            for (number, _), answer in zip(first.values(), found, strict=True)
        }

    def _answer(self, session: Session, number: int, row: Row, now: datetime) -> dict[str, Any]:
        if isinstance(row, Problem):
            return _said(number, row)
        keyring = self._runtime.keyring
        try:
            with session.begin_nested():
                submission = submission_of(row, self._caller, keyring)
                return _said(number, intake.submit(session, keyring, submission, now=now))
        except Problem as problem:
            return _said(number, problem)
        except OperationalError:
            raise
        except Exception:
            log.exception("a row of a bulk submission failed", extra=fields(row=number))
            return _said(number, Internal("The service failed on this row; its log says why."))

    def _summary(self, problem: Problem | None) -> dict[str, Any]:
        counts = {str(answer): self._counts[answer] for answer in Answer}
        summary = {"end": True, "complete": problem is None, "rows": self._rows, **counts}
        return summary if problem is None else {**summary, "problem": problem.document()}


def _case_number(numbered: tuple[int, Row]) -> str:
    row = numbered[1]
    return "" if isinstance(row, Problem) else row.external_id


def _said(number: int, answer: Accepted | Problem) -> dict[str, Any]:
    if not isinstance(answer, Problem):
        return {
            "row": number,
            "status": Answer.ACCEPTED if answer.is_new else Answer.REPEATED,
            "id": request_id(answer.request.id),
            "state": answer.request.state,
        }
    if answer.status >= 500:
        status = Answer.FAILED
    else:
        status = Answer.CONFLICT if answer.status == 409 else Answer.INVALID
    return {"row": number, "status": status, "problem": answer.document()}
