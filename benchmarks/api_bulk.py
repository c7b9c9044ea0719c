"""A file of deletion requests in one call: part of `benchmarks.api`, and a program of its own.

    python -m benchmarks.api_bulk [--rows N] [--database NAME ...]

By itself it sends the file to a service that is just installed, as whoever begins with what has
piled up does: PostgreSQL has not counted the values of any table then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from app import migrate
from app.erasure.bulk import MOST_ROWS
from app.ids import new_id
from benchmarks.api_servers import Server, environment, serving
from benchmarks.databases import databases, settings_for
from benchmarks.report import table
from benchmarks.stored import PERSONS, URL, prepared
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


def sent_to_a_new_service(dialect: str, rows: int) -> dict[str, float]:
    with databases(dialect) as database, tempfile.TemporaryDirectory() as folder:
        migrate.upgrade(database)
        settings = settings_for(database, Path(folder))
        key = prepared(settings).key
        with serving("app.main:create_app", environment(settings)) as server:
            return taken_in(server, key, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=MOST_ROWS)
    parser.add_argument("--database", nargs="+", default=["sqlite", "postgresql"])
    given = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("LOTUS_")]:
        del os.environ[name]
    found = [sent_to_a_new_service(dialect, given.rows) for dialect in given.database]
    rates = (f"{one['bulk_per_second']:.0f}" for one in found)
    memory = (f"{one['bulk_mb_before']:.0f}, {one['bulk_mb_after']:.0f}" for one in found)
    print(
        table(
            ["", *given.database],
            [
                (f"rows of a file of {given.rows:,} a second, new service", *rates),
                ("  MB resident before, after", *memory),
            ],
        )
    )


if __name__ == "__main__":
    main()
