"""Calls that send or bring more than one answer: many requests, files of them, and what changes."""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx2

from client.answers.erasures import BulkAnswer, BulkSummary, Erasure, ErasureSummary
from client.answers.runs import RunSummary
from client.erasures import REQUESTS, filters
from client.problems import BrokenOff, LotusProblem, TookTooLong, UnexpectedAnswer, problem_of
from client.transport import API, ATTEMPTS, PASSING, Transport, checked, pause, unreachable

NDJSON, CSV = "application/x-ndjson", "text/csv"
PIECE = 64 * 1024
# A stream that says nothing for so long is dead: the service sends something every 15 seconds.
SILENCE_SECONDS = 45.0
# The answer to the last rows comes when all of them are committed.
ANSWER_SECONDS = 600.0


class StreamCalls(Transport):
    def submit_many(self, requests: Sequence[Mapping[str, Any]]) -> Iterator[BulkAnswer]:
        """What became of each request, in their order. Each is a body as the API takes it, with an
        `external_id`. See `submit_file`."""
        return self._bulk(NDJSON, lambda: (json.dumps(one).encode() + b"\n" for one in requests))

    def submit_file(self, path: str | os.PathLike[str]) -> Iterator[BulkAnswer]:
        """The same for a file: `.csv`, or one JSON object a line. If the connection breaks, or the
        service says to come back, the file is sent again, which only repeats what was accepted.
        BrokenOff if it cannot be brought to its end."""
        file = Path(path)
        return self._bulk(CSV if file.suffix.lower() == ".csv" else NDJSON, lambda: _pieces(file))

    def _bulk(self, media_type: str, body: Any) -> Iterator[BulkAnswer]:
        answered = 0
        for attempt in range(1, ATTEMPTS + 1):
            try:
                for one in self._bulk_once(media_type, body()):
                    if one.row > answered:
                        answered = one.row
                        yield one
                return
            except (httpx2.TransportError, BrokenOff, LotusProblem) as error:
                again = attempt < ATTEMPTS and _passes(error)
                if isinstance(error, httpx2.TransportError) and not again:
                    raise unreachable(self.base_url, error) from error
                if not again:
                    raise
            pause(2.0 * attempt)

    def _bulk_once(self, media_type: str, body: Iterable[bytes]) -> Iterator[BulkAnswer]:
        request = self.http.build_request(
            "POST",
            f"{REQUESTS}/bulk",
            content=body,
            headers={"Content-Type": media_type},
            timeout=httpx2.Timeout(self.timeout, read=ANSWER_SECONDS),
        )
        with self._streamed(request) as response:
            for document in _documents(response):
                if not document.get("end"):
                    yield checked(BulkAnswer, document)
                    continue
                summary = checked(BulkSummary, document)
                if not summary.complete:
                    why = (summary.problem or {}).get("title", "no reason is given")
                    raise BrokenOff(f"after {summary.rows} rows: {why}", summary.problem)
                return
        raise BrokenOff("the answer has no end")

    def export_requests(self, **wanted: Any) -> Iterator[ErasureSummary]:
        """Every request that fits the filters of `list_requests`, read as it is used. BrokenOff if
        the export was cut."""
        with self._export("ndjson", wanted) as response:
            for document in _documents(response):
                if document.get("end"):
                    return
                yield checked(ErasureSummary, document)
        raise BrokenOff("the export has no end")

    def export_file(
        self, path: str | os.PathLike[str], form: Literal["csv", "ndjson"] = "csv", **wanted: Any
    ) -> int:
        """Writes the export beside `path` and moves it there once it is whole; its number of
        rows."""
        target = Path(path)
        part = target.with_name(f"{target.name}.part")
        end = b""
        try:
            with self._export(form, wanted) as response, part.open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)
                    end = (end + piece)[-100:]
            rows = _rows_at(end, form)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return rows

    @contextmanager
    def _export(self, form: str, wanted: Mapping[str, Any]) -> Iterator[httpx2.Response]:
        parameters = {**filters(**wanted), "format": form}
        given = {name: value for name, value in parameters.items() if value is not None}
        request = self.http.build_request("GET", f"{REQUESTS}/export", params=given)
        try:
            with self._streamed(request) as response:
                yield response
        except httpx2.TransportError as error:
            raise BrokenOff("the connection broke") from error

    def follow_request(self, request: str, *, timeout: float | None = None) -> Iterator[Erasure]:
        """The request as it is now, and whenever it has changed, until it cannot change any more:
        a completed case is followed until it is closed."""
        for data in self._follow(f"{REQUESTS}/{request}/events", timeout):
            yield checked(Erasure, data)

    def follow_run(self, run: str, *, timeout: float | None = None) -> Iterator[RunSummary]:
        """The run as it is now, and at every step of its progress, until it ends."""
        for data in self._follow(f"{API}/runs/{run}/events", timeout):
            yield checked(RunSummary, data)

    def _follow(self, path: str, timeout: float | None) -> Iterator[Any]:
        """Connects again where the stream breaks, and goes on after the last event."""
        seen: str | None = None
        failures = 0
        end = None if timeout is None else time.monotonic() + timeout
        while end is None or time.monotonic() < end:
            try:
                for name, identity, data in self._events(path, seen, end):
                    if name == "end":
                        return
                    seen, failures = identity, 0
                    yield data
                if seen is None:
                    failures += 1
            except (httpx2.TransportError, LotusProblem) as error:
                failures += 1
                if failures >= ATTEMPTS or not _passes(error):
                    if isinstance(error, httpx2.TransportError):
                        raise unreachable(self.base_url, error) from error
                    raise
            if end is None or time.monotonic() < end:
                pause(0.5 * max(failures, 1))
        raise TookTooLong(f"what was followed took longer than {timeout:.0f} s")

    def _events(
        self, path: str, seen: str | None, end: float | None
    ) -> Iterator[tuple[str, str | None, Any]]:
        headers = {"Last-Event-ID": seen} if seen else {}
        left = SILENCE_SECONDS if end is None else max(end - time.monotonic(), 0.1)
        request = self.http.build_request(
            "GET",
            path,
            headers=headers,
            timeout=httpx2.Timeout(self.timeout, read=min(SILENCE_SECONDS, left)),
        )
        with self._streamed(request) as response:
            if response.status_code == 204:
                yield "end", None, {}
                return
            name, identity, data = "", None, None
            try:
                for line in response.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        name = value
                    elif field == "id":
                        identity = value
                    elif field == "data":
                        data = json.loads(value)
                    elif line == "" and data is not None:
                        yield name, identity, data
                        data = None
                    if end is not None and time.monotonic() >= end:
                        return
            except httpx2.ReadTimeout:
                if end is None:
                    raise

    @contextmanager
    def _streamed(self, request: httpx2.Request) -> Iterator[httpx2.Response]:
        response = self.http.send(request, stream=True)
        try:
            if response.status_code >= 400:
                response.read()
                raise problem_of(response)
            yield response
        finally:
            response.close()


def _passes(error: Exception) -> bool:
    """May the same call succeed a little later?"""
    if isinstance(error, LotusProblem):
        return error.status in PASSING
    if isinstance(error, BrokenOff):
        return error.problem is None or error.problem.get("status") in PASSING
    return True


def _documents(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        try:
            document = json.loads(line)
        except ValueError as error:
            raise UnexpectedAnswer("a line that is no JSON") from error
        if not isinstance(document, dict):
            raise UnexpectedAnswer("a line that is no JSON object")
        yield document


def _rows_at(end: bytes, form: str) -> int:
    """The count in the last line of an export."""
    last = end.rstrip().splitlines()[-1] if end.strip() else b""
    try:
        if form == "csv":
            mark, _, count = last.decode().partition(",")
            if mark == "#end":
                return int(count)
        elif (found := json.loads(last)).get("end"):
            return int(found["rows"])
    except (ValueError, AttributeError, KeyError):
        pass
    raise BrokenOff("the export has no end")


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(PIECE):
            yield piece
