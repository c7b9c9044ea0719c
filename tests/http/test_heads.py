"""Lines and headers that are too large or do not end, over real connections and without a key."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from app.http import heads
from app.http.heads import LARGEST_HEAD
from tests.listening import listening

LINE = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
CALL = LINE + b"\r\n"


@pytest.fixture
def connection(anonymous: TestClient) -> Iterator[socket.socket]:
    with listening(anonymous.app) as address:  # type: ignore[arg-type]
        url = urlsplit(address)
        with socket.create_connection((str(url.hostname), int(url.port or 0)), 20) as made:
            yield made


def heard(connection: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    got = b""
    with suppress(ConnectionError):  # what it had not read when it closed
        while piece := connection.recv(65536):
            got += piece
    return got


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 8_000_000,
        LINE + b"X: " + b"a" * 8_000_000,
        LINE + (b"X-" + b"a" * 500 + b": 1\r\n") * 16_000,
    ],
    ids=["line", "one header", "many headers"],
)
def test_a_head_that_is_too_large_ends_the_connection(
    connection: socket.socket, head: bytes
) -> None:
    sent = 0
    with suppress(ConnectionError):
        while sent < len(head):
            sent += connection.send(head[sent : sent + 8192])
    assert sent < len(head) or heard(connection).startswith(b"HTTP/1.1 400")


def test_a_head_that_is_just_long_is_read(connection: socket.socket) -> None:
    padding = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(40))
    assert len(padding) < LARGEST_HEAD
    connection.sendall(LINE + padding + b"Connection: close\r\n\r\n")
    assert heard(connection).startswith(b"HTTP/1.1 200")


def test_each_call_of_a_connection_has_a_head_of_its_own(connection: socket.socket) -> None:
    padding = b"X: " + b"a" * 30_000 + b"\r\n"
    for _ in range(10):
        connection.sendall(LINE + padding + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("begun", [b"", b"GET /li", LINE, CALL + LINE])
def test_a_head_that_does_not_end_is_given_up(
    anonymous: TestClient, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.5)
    app: Any = anonymous.app
    with listening(app) as address:
        url = urlsplit(address)
        with socket.create_connection((str(url.hostname), int(url.port or 0)), 20) as connection:
            connection.sendall(begun)
            assert heard(connection).count(b"HTTP/1.1 200") == begun.count(CALL)
