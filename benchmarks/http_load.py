"""A load of HTTP/1.1 calls on one server: connections that stay open, each with one call at a time.

Plain sockets and as little parsing as the answers here need, so that the client costs the machine
less than the server that is measured.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

PATIENCE_SECONDS = 60.0


@dataclass
class Load:
    """What came of the calls; `seconds` of each, in the order in which they ended."""

    elapsed: float = 0.0
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Calls a second."""
        return len(self.seconds) / self.elapsed

    def milliseconds(self, percent: float) -> float:
        """Of the slowest call among the fastest `percent`."""
        ordered = sorted(self.seconds)
        return 1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    @property
    def median(self) -> float:
        return 1e3 * statistics.median(self.seconds)


def call(
    method: str, path: str, *, key: str | None = None, body: Any = None, **headers: str
) -> bytes:
    """One call as bytes; `body` becomes JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def load(
    port: int,
    calls: Callable[[int], bytes],
    *,
    connections: int,
    seconds: float,
    patience: float = PATIENCE_SECONDS,
) -> Load:
    """Calls for so many seconds; `calls(n)` gives the n-th. Raises if a connection breaks, or if an
    answer takes longer than `patience`."""
    return asyncio.run(_load(port, calls, connections, seconds, patience))


async def _load(
    port: int, calls: Callable[[int], bytes], connections: int, seconds: float, patience: float
) -> Load:
    done = Load()
    numbers = iter(range(1 << 62))
    started = time.perf_counter()
    end = started + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_one(port, calls, numbers, end, patience, done))
    done.elapsed = time.perf_counter() - started
    return done


async def _one(
    port: int,
    calls: Callable[[int], bytes],
    numbers: Iterator[int],
    end: float,
    patience: float,
    done: Load,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (began := time.perf_counter()) < end:
            writer.write(calls(next(numbers)))
            async with asyncio.timeout(patience):
                status, _ = await _answer(reader)
            done.seconds.append(time.perf_counter() - began)
            done.statuses[status] += 1
    finally:
        writer.close()


def poll(port: int, path: str, key: str, *, dashboards: int, every: float, seconds: float) -> Load:
    """Dashboards on a connection each: a call every so many seconds, with what the last answer
    said in `If-None-Match`. They begin one after the other within the first interval."""
    return asyncio.run(_poll(port, path, key, dashboards, every, seconds))


async def _poll(
    port: int, path: str, key: str, dashboards: int, every: float, seconds: float
) -> Load:
    done = Load()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(dashboards):
            first = started + every * number / dashboards
            group.create_task(_dashboard(port, path, key, first, every, started + seconds, done))
    done.elapsed = time.perf_counter() - started
    return done


async def _dashboard(
    port: int, path: str, key: str, first: float, every: float, end: float, done: Load
) -> None:
    await asyncio.sleep(first - time.perf_counter())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seen, planned = "", first
    try:
        while planned < end:
            writer.write(call("GET", path, key=key, If_None_Match=seen))
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, head = await _answer(reader)
            # From when it should have been sent, so that a late one counts as what it was.
            done.seconds.append(time.perf_counter() - planned)
            done.statuses[status] += 1
            seen = etag_of(head)
            planned += every
            await asyncio.sleep(planned - time.perf_counter())
    finally:
        writer.close()


def etag_of(head: bytes) -> str:
    found = re.search(rb"\r\netag: ([^\r]*)", head, re.IGNORECASE)
    return found[1].decode() if found else ""


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Reads one whole answer; its status and its head."""
    head = await reader.readuntil(b"\r\n\r\n")
    said = head.lower()
    _, _, length = said.partition(b"\r\ncontent-length:")
    if length:
        await reader.readexactly(int(length.partition(b"\r\n")[0]))
    elif b"transfer-encoding: chunked" in said:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
    return int(head[9:12]), head
