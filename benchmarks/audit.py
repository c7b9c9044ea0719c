"""What the audit log costs: proofs, sequencing, the whole check, and intake with and without it.

    python -m benchmarks.audit [--quick] [--entries N] [--log-only] [--database NAME ...]
                               [--json PATH]

Proof       hashes and milliseconds of inclusion proofs in a log of a million entries
Sequencer   entries a second that get their place in that log, in batches of 1,000
Check       seconds to recompute that log from its bytes, beside the least that any check must do:
            parsing and hashing the same bytes, held in memory
Intake      requests a second over HTTP, by 16 connections and by one, against the same service with
            the log's `append` taken out (`audit_intake.py`)

The log is written into the tables directly, as the sequencer would have left it. PostgreSQL is
started in a temporary folder from installed programs. Where others use the machine, the seconds of
processor that this process took say more than those of the clock; the server's own are not in them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text

from app import migrate
from app.audit import kinds, log, proofs, sequencer
from app.audit.check import check
from app.audit.log import entry_bytes
from app.audit.merkle import Subtrees, leaf_hash
from app.audit.tables import AuditEntry, AuditNode
from app.certificates.verify import check_inclusion
from app.db import Database
from benchmarks.audit_intake import intake
from benchmarks.databases import databases, settings_for
from benchmarks.report import machine, table, write_json

NOW = datetime(2026, 3, 1, 12, 30, 5, 40, tzinfo=UTC)
CONTROLLER = UUID("0195a000-0000-7000-8000-000000000001")
CHUNK = 20_000


def facts(number: int) -> kinds.RequestMoved:
    return kinds.RequestMoved(
        controller=CONTROLLER,
        request=UUID(int=CONTROLLER.int + number // 4),
        from_state="received",
        to_state="scheduled",
        event=f"event_{number % 4}",
        actor=kinds.SERVICE,
    )


# A million entries through their models would take longer than all that is measured.
FIRST = facts(0)
_FORM = (
    entry_bytes(FIRST, now=NOW)
    .replace(b"event_0", b"event_%d")
    .replace(b"req_" + FIRST.request.hex.encode(), b"req_%s")
)
assert _FORM % (3, facts(7).request.hex.encode()) == entry_bytes(facts(7), now=NOW)


def fill(database: Database, size: int) -> None:
    """A sequenced log of this size, all hashes right."""
    tree = Subtrees(0, [])
    for start in range(0, size, CHUNK):
        entries, nodes = [], []
        for number in range(start, min(start + CHUNK, size)):
            request = UUID(int=FIRST.request.int + number // 4)
            body = _FORM % (number % 4, request.hex.encode())
            digest = leaf_hash(body)
            nodes += [
                {"level": level, "index": index, "hash": completed}
                for (level, index), completed in tree.add(digest)
            ]
            entries.append(
                {
                    "index": number,
                    "sequenced_at": NOW,
                    "kind": FIRST.kind.value,
                    "body": body,
                    "leaf_hash": digest,
                    "controller_id": CONTROLLER,
                    "request_id": request,
                    "run_id": None,
                    "created_at": NOW,
                }
            )
        with database.write() as session:
            session.execute(insert(AuditEntry), entries)
            session.execute(insert(AuditNode), nodes)
        print(f"\r  log of {start + len(entries):,}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def proving(database: Database, size: int, rounds: int) -> dict[str, Any]:
    draw, longest, seconds = random.Random(0), 0, []
    with database.read() as session:
        root = proofs.root(session, size)
        for _ in range(rounds):
            index = draw.randrange(size)
            started = time.perf_counter()
            hashes = proofs.inclusion(session, index, size)
            seconds.append(time.perf_counter() - started)
            longest = max(longest, len(hashes))
            leaf = leaf_hash(entry_bytes(facts(index), now=NOW))
            check_inclusion(leaf, index, size, hashes, root)
    return {"proof_hashes": longest, "proof_ms": 1e3 * statistics.median(seconds)}


def sequencing(database: Database, size: int, count: int) -> dict[str, Any]:
    for start in range(0, count, 1000):
        with database.write() as session:
            for number in range(start, start + 1000):
                log.append(session, facts(size + number), now=NOW)
    done, started, worked = 0, time.perf_counter(), time.process_time()
    while done < count:
        with database.write() as session:
            done += sequencer.sequence(session, now=NOW)
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    return {"sequenced_per_second": count / seconds, "sequenced_per_cpu_second": count / cpu}


def checking(database: Database, size: int) -> dict[str, Any]:
    started, worked = time.perf_counter(), time.process_time()
    with database.read() as session:
        result = check(session)
    whole, cpu = time.perf_counter() - started, time.process_time() - worked
    assert result.ok and result.entries >= size, result
    body = entry_bytes(facts(0), now=NOW)
    worked = time.process_time()
    tree = Subtrees(0, [])
    for _ in range(result.entries):
        json.loads(body)
        tree.add(leaf_hash(body))
    least = time.process_time() - worked
    return {
        "check_seconds": whole,
        "check_cpu_seconds": cpu,
        "check_entries": result.entries,
        "least_cpu_seconds": least,
    }


def measure(dialect: str, size: int, *, quick: bool, log_only: bool) -> dict[str, Any]:
    print(dialect, file=sys.stderr)
    with databases(dialect) as database, tempfile.TemporaryDirectory() as folder:
        migrate.upgrade(database)
        taken: dict[str, Any] = {}
        if not log_only:
            taken = intake(
                settings_for(database, Path(folder)),
                rounds=2 if quick else 5,
                seconds=2.0 if quick else 5.0,
            )
            with database.write() as session:  # the log of the requests makes room for a long one
                _empty(session, database.is_sqlite)
        fill(database, size)
        if not database.is_sqlite:
            with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as raw:
                raw.execute(text("ANALYZE"))
        figures = proving(database, size, 50 if quick else 500)
        figures |= sequencing(database, size, 5_000 if quick else 20_000)
        figures |= checking(database, size)
    found = {"database": dialect, "entries": size, **figures, **taken}
    print(f"  {json.dumps(found)}", file=sys.stderr)
    return found


def _empty(session: Any, is_sqlite: bool) -> None:
    if is_sqlite:
        for name in ("audit_entries", "audit_nodes"):
            session.execute(text(f"DROP TRIGGER {name}_no_delete"))
    else:
        session.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER ALL"))
        session.execute(text("ALTER TABLE audit_nodes DISABLE TRIGGER ALL"))
    for name in ("audit_entries", "audit_nodes", "audit_pending"):
        session.execute(text(f"DELETE FROM {name}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a log of 20,000 entries")
    parser.add_argument("--database", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--entries", type=int, help="of the log; default: a million")
    parser.add_argument("--log-only", action="store_true", help="leave intake out")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("LOTUS_")]:
        del os.environ[name]
    size = given.entries or (20_000 if given.quick else 1_000_000)
    results = [
        measure(dialect, size, quick=given.quick, log_only=given.log_only)
        for dialect in given.database
    ]
    said = machine()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{said['cores']} cores of {said['cpu']}, load {load}\n")
    rows = [
        ("hashes of a proof, at most", *(row["proof_hashes"] for row in results)),
        ("milliseconds of a proof", *(f"{row['proof_ms']:.2f}" for row in results)),
        ("sequenced a second", *(f"{row['sequenced_per_second']:,.0f}" for row in results)),
        (
            "sequenced in a second of this process",
            *(f"{row['sequenced_per_cpu_second']:,.0f}" for row in results),
        ),
        ("check, seconds", *(f"{row['check_seconds']:.1f}" for row in results)),
        ("check, seconds of this process", *(f"{row['check_cpu_seconds']:.1f}" for row in results)),
        (
            "the same / parsing and hashing alone",
            *(f"{row['check_cpu_seconds'] / row['least_cpu_seconds']:.2f}" for row in results),
        ),
    ]
    if not given.log_only:
        rows += [
            (f"{name} with / without the log", *(f"{row[f'{name}_ratio']:.3f}" for row in results))
            for name in ("intake", "intake by one")
        ]
    print(table([f"{size:,} entries", *(row["database"] for row in results)], rows))
    if given.json:
        write_json(given.json, {"load": os.getloadavg(), "audit": results})


if __name__ == "__main__":
    main()
