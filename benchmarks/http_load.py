"""A load of HTTP/1.1 calls on one server: connections that stay open, each with one call at a time.

Plain sockets and as little parsing as the answers here need, so that the client costs the machine
less than the server that is measured.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 60.0


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


def load(port: int, calls: Callable[[int], bytes], *, connections: int, seconds: float) -> Load:
    """Calls for so many seconds; `calls(n)` gives the n-th. Raises if a connection breaks."""
    return asyncio.run(_load(port, calls, connections, seconds))


async def _load(port: int, calls: Callable[[int], bytes], connections: int, seconds: float) -> Load:
    done = Load()
    numbers = iter(range(1 << 62))
    started = time.perf_counter()
    end = started + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_one(port, calls, numbers, end, done))
    done.elapsed = time.perf_counter() - started
    return done


async def _one(
    port: int, calls: Callable[[int], bytes], numbers: Iterator[int], end: float, done: Load
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (began := time.perf_counter()) < end:
            writer.write(calls(next(numbers)))
            async with asyncio.timeout(PATIENCE):
                status = await _answer(reader)
            done.seconds.append(time.perf_counter() - began)
            done.statuses[status] += 1
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    """Reads one whole answer; its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, length = head.partition(b"\r\ncontent-length:")
    if length:
        await reader.readexactly(int(length.partition(b"\r\n")[0]))
    elif b"transfer-encoding: chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
    return int(head[9:12])
