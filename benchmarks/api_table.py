"""The figures of `benchmarks.api` as lines of a table, a column for each database."""

from __future__ import annotations

import argparse
from typing import Any

DASHBOARDS = 200


def lines(results: list[dict[str, Any]], given: argparse.Namespace) -> list[tuple[str, ...]]:
    def line(title: str, name: str, form: str) -> tuple[str, ...]:
        return (title, *(format(row[name], form) for row in results))

    found: list[tuple[str, ...]] = []
    titles = {"intake": "accepted", "status": "status reads", "overview": "overview polls"}
    for name, title in titles.items():
        if f"{name}_ratio" not in results[0]:
            continue
        found += [
            line(f"{title} a second, {given.connections} connections", f"{name}_per_second", ".0f"),
            line("  bare endpoint", f"{name}_bare_per_second", ".0f"),
            line("  whole / bare", f"{name}_ratio", ".2f"),
            line("  p50, ms", f"{name}_p50_ms", ".1f"),
            line("  p99, ms", f"{name}_p99_ms", ".1f"),
            line("  p99, whole / bare", f"{name}_p99_ratio", ".2f"),
        ]
    if "bulk_ratio" in results[0]:
        found += [
            line(f"rows of a file of {given.rows:,} a second", "bulk_per_second", ".0f"),
            line("  against calls of their own", "bulk_ratio", ".2f"),
            line("  MB resident before", "bulk_mb_before", ".0f"),
            line("  MB resident after", "bulk_mb_after", ".0f"),
        ]
    for name, where in (("", "few stored"), ("stored_", f"{given.stored:,} stored")):
        found += [
            line(f"{DASHBOARDS} dashboards, {where}: polls", f"{name}dashboards_polls", ".0f"),
            line("  answered 304", f"{name}dashboards_unchanged", ".0f"),
            line("  p50, ms", f"{name}dashboards_p50_ms", ".1f"),
            line("  p99, ms", f"{name}dashboards_p99_ms", ".1f"),
        ]
    found += [
        (
            f"{name}: p95 in ms, few / {given.stored:,} stored",
            *(
                f"{row['questions_few'][name]:.1f} / {row['questions_stored'][name]:.1f}"
                for row in results
            ),
        )
        for name in results[0]["questions_few"]
    ]
    if "export_seconds" in results[0]:
        found += [
            line("export of all, seconds", "export_seconds", ".1f"),
            line("  MB resident before", "export_mb_before", ".0f"),
            line("  MB resident after", "export_mb_after", ".0f"),
        ]
    return [
        *found,
        line("seconds until the first answer", "ready_seconds", ".2f"),
        line("MB resident, idle", "resident_mb_idle", ".0f"),
        line("MB resident, after the load", "resident_mb_loaded", ".0f"),
    ]
