"""Re-checks for a person: one line for each, and what a case's last one said."""

from collections.abc import Sequence
from typing import Any

from app.cli.figures import number
from app.cli.output import console, plain, print_rows
from client import LastRecheck, Recheck, RecheckSummary


def print_rechecks(rows: Sequence[RecheckSummary]) -> None:
    print_rows(
        [
            [
                one.id,
                one.version.number,
                one.state if one.error_class is None else f"{one.state}: {one.error_class}",
                "bytes" if one.trigger == "schedule" else one.case_count,
                _change(one.pooled),
                "yes" if (one.pooled or {}).get("alarm") else "",
                one.relapsed_count or "",
            ]
            for one in rows
        ],
        "re-check",
        ">version",
        "state",
        ">cases",
        ">change of AUC",
        "alarm",
        ">relapsed",
    )


def print_recheck(found: Recheck) -> None:
    print_rechecks([found])
    rows = [
        [
            case["request"],
            case["samples"],
            _change({"difference": case["change"], **case}),
            number(case["q"], 4),
            "relapsed" if case["relapsed"] else plain(case["skipped"]),
        ]
        for case in found.cases
    ]
    if rows:
        print_rows(rows, "request", ">samples", ">change", ">q", "", title="Cases")
    if found.error_detail:
        console().print(f"  error: {plain(found.error_detail)}")


def last(found: LastRecheck | None) -> str:
    """In a column of its own, beside the model."""
    if found is None:
        return ""
    if found.relapsed:
        return f"relapsed, {_signed(found.change)}"
    if found.skipped:
        return f"not compared: {found.skipped}"
    return f"held, {_signed(found.change)}" if found.change is not None else found.state


def _change(figures: Any) -> str:
    if not figures or figures.get("difference") is None:
        return "-"
    return f"{_signed(figures['difference'])} (se {number(figures['standard_error'])})"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"
