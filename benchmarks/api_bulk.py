"""A file of deletion requests in one call, as `benchmarks.api` measures it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from app.ids import new_id
from benchmarks.api_servers import Server
from benchmarks.stored import PERSONS, URL
from tests.erasure.factories import submission

LINES_AT_ONCE = 500
PATIENCE_SECONDS = 3600.0


def taken_in(server: Server, key: str, rows: int) -> dict[str, float]:
    """Rows a second, all of them accepted; the memory of the process before and after. The answers
    are read while the file is sent."""
    before = server.resident_mb
    started = time.perf_counter()
    summary = asyncio.run(_exchange(server.port, key, rows))
    elapsed = time.perf_counter() - started
    assert summary["complete"] and summary["accepted"] == rows, summary
    return {
        "bulk_rows": rows,
        "bulk_per_second": rows / elapsed,
        "bulk_mb_before": before,
        "bulk_mb_after": server.resident_mb,
    }


async def _exchange(port: int, key: str, rows: int) -> dict[str, Any]:
    """The last line of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
            group.create_task(_send(writer, key, rows))
            answer = group.create_task(_last_line(reader))
    finally:
        writer.close()
    found: dict[str, Any] = json.loads(answer.result())
    return found


async def _send(writer: asyncio.StreamWriter, key: str, rows: int) -> None:
    head = [
        f"POST {URL}/bulk HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {key}",
        "Content-Type: application/x-ndjson",
        "Transfer-Encoding: chunked",
    ]
    writer.write("\r\n".join([*head, "", ""]).encode())
    for start in range(0, rows, LINES_AT_ONCE):
        lines = b"".join(_line(n) for n in range(start, min(start + LINES_AT_ONCE, rows)))
        writer.write(b"%x\r\n%b\r\n" % (len(lines), lines))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _line(number: int) -> bytes:
    body = submission(f"person-{number % PERSONS}", external_id=new_id().hex)
    return json.dumps(body).encode() + b"\n"


async def _last_line(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head[9:12] == b"200", head
    end = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        # The end of one piece is enough: the summary is short, and comes last.
        end = (end + await reader.readexactly(size))[-10_000:]
        await reader.readexactly(2)
    return end.rstrip(b"\n").rpartition(b"\n")[2]
