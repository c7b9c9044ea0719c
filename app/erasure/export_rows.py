"""Requests as lines of a file. Pure."""

import csv
import io
import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from app.erasure.decision_schemas import WaitView
from app.erasure.schemas import RequestSummary

# A spreadsheet takes a cell that begins so for a formula. Where it reads tables with semicolons, as
# in much of Europe, or with tabs, a cell of its begins behind each of those too.
_FORMULA = re.compile(r"(^[\t\r\n=+\-@]|(?<=[;\t\r\n])[\"' ]*[=+\-@])")
NESTED = "waits_for"


class ExportForm(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"


COLUMNS = [
    column
    for name in RequestSummary.model_fields
    for column in (
        [f"{NESTED}_{part}" for part in WaitView.model_fields] if name == NESTED else [name]
    )
]
MEDIA_TYPES = {
    ExportForm.CSV: "text/csv; charset=utf-8; header=present",
    ExportForm.NDJSON: "application/x-ndjson",
}


def heading(form: ExportForm) -> bytes:
    return _table([COLUMNS]) if form is ExportForm.CSV else b""


def rows(form: ExportForm, requests: Sequence[RequestSummary]) -> bytes:
    if form is ExportForm.NDJSON:
        return "".join(f"{one.model_dump_json()}\n" for one in requests).encode()
    return _table([_cells(one) for one in requests])


def ending(form: ExportForm, count: int) -> bytes:
    """The last line of a file that is complete: a file that was cut has none."""
    if form is ExportForm.CSV:
        return _table([["#end", str(count)]])
    return json.dumps({"end": True, "rows": count}, separators=(",", ":")).encode() + b"\n"


def safe_cell(text: str) -> str:
    """With an apostrophe before what a spreadsheet would carry out."""
    return _FORMULA.sub(r"'\1", text)


def _cells(request: RequestSummary) -> list[str]:
    said = request.model_dump(mode="json")
    nested = said.pop(NESTED) or {}
    said |= {f"{NESTED}_{part}": value for part, value in nested.items()}
    return [_text(said.get(column)) for column in COLUMNS]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return safe_cell(str(value).lower() if isinstance(value, bool) else str(value))


def _table(lines: Sequence[Sequence[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(lines)
    return written.getvalue().encode()
