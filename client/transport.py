"""One HTTP connection pool, the key, and the translation of errors."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
from pydantic import ValidationError

from client.answers import Answer, Page
from client.problems import (
    LotusProblem,
    LotusUnreachable,
    TookTooLong,
    UnexpectedAnswer,
    problem_of,
    retry_after,
)

API = "/api/v1"
ATTEMPTS = 3
LONGEST_PAUSE_SECONDS = 5.0
# Answers after which the same GET may well succeed.
PASSING = frozenset({429, 502, 503, 504})

SomeAnswer = TypeVar("SomeAnswer", bound=Answer)
Parameters = Mapping[str, str | int | Sequence[str] | None]
NO_PARAMETERS: Parameters = {}


class Transport:
    """Only what is safe to send twice is repeated: GETs, and what creates something under an
    `Idempotency-Key`."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        timeout: float = 30.0,
        *,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.http = httpx2.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=timeout,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()

    def get(
        self, path: str, kind: type[SomeAnswer], parameters: Parameters = NO_PARAMETERS
    ) -> SomeAnswer:
        return parse(self._get(path, parameters), kind)

    def get_text(self, path: str) -> str:
        return self._get_well(path).text

    def get_bytes(self, path: str) -> bytes:
        """The answer's body as it came."""
        return self._get_well(path).content

    def _get_well(self, path: str) -> httpx2.Response:
        response = self._get(path, NO_PARAMETERS)
        if response.status_code >= 400:
            raise problem_of(response)
        return response

    def _get(self, path: str, parameters: Parameters) -> httpx2.Response:
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._repeated(lambda: self.http.get(path, params=given))

    def _repeated(self, call: Callable[[], httpx2.Response]) -> httpx2.Response:
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                response = call()
            except httpx2.TransportError as error:
                if last:
                    raise unreachable(self.base_url, error) from error
                pause(0.2 * 4 ** (attempt - 1))
                continue
            if last or not _passing(response):
                break
            pause(retry_after(response) or 0.2 * 4 ** (attempt - 1))
        return response

    def create(
        self,
        path: str,
        kind: type[SomeAnswer],
        body: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
    ) -> SomeAnswer:
        """A POST that may be repeated without harm, because all attempts go under one key. Without
        `idempotency_key` another call of this method is another one to the service too."""
        given = {name: value for name, value in body.items() if value is not None}
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return parse(
            self._repeated(lambda: self.http.post(path, json=given, headers=headers)), kind
        )

    def send(
        self,
        method: str,
        path: str,
        kind: type[SomeAnswer],
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> SomeAnswer:
        """Sends once. Members of `body` that are None are left out."""
        given = {name: value for name, value in (body or {}).items() if value is not None}
        try:
            response = self.http.request(
                method, path, json=given if body is not None else None, headers=headers
            )
        except httpx2.TransportError as error:
            raise unreachable(self.base_url, error) from error
        return parse(response, kind)

    def pages(
        self, path: str, kind: type[SomeAnswer], parameters: Parameters = NO_PARAMETERS
    ) -> Iterator[SomeAnswer]:
        """Every item of a list, page after page, fetched as they are used."""
        cursor: str | None = None
        while True:
            page = self.get(path, Page, {**parameters, "cursor": cursor})
            for item in page.items:
                yield checked(kind, item)
            cursor = page.next_cursor
            if cursor is None:
                return


def _passing(response: httpx2.Response) -> bool:
    """An answer after which the same call may well succeed. 409 names two of them: the same call
    is still being carried out."""
    if response.status_code != 409:
        return response.status_code in PASSING
    problem = problem_of(response)
    return isinstance(problem, LotusProblem) and problem.code == "idempotency-key-in-use"


def parse(response: httpx2.Response, kind: type[SomeAnswer]) -> SomeAnswer:
    if response.status_code >= 400:
        raise problem_of(response)
    try:
        body = response.json()
    except ValueError as error:
        raise UnexpectedAnswer(f"HTTP {response.status_code} without JSON") from error
    return checked(kind, body)


def checked(kind: type[SomeAnswer], body: object) -> SomeAnswer:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
        raise UnexpectedAnswer(f"not a {kind.__name__}: {fields}") from error


def unreachable(base_url: str, error: httpx2.TransportError) -> LotusUnreachable:
    why = str(error) or type(error).__name__
    return LotusUnreachable(f"no answer from {base_url}: {why}")


def pause(seconds: float) -> None:
    time.sleep(min(seconds, LONGEST_PAUSE_SECONDS))


def polls(interval: float, timeout: float | None, what: str) -> Iterator[None]:
    """Yields at once and then every `interval` seconds; raises TookTooLong after `timeout`."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        yield
        if end is not None and time.monotonic() >= end:
            raise TookTooLong(f"{what} took longer than {timeout:.0f} s")
        time.sleep(interval)
