"""Files of many deletion requests, as they stream in: NDJSON, or CSV with a heading.

A reader takes the bytes in any pieces and keeps no more of them than one row. What is wrong with a
row is that row's answer; only a heading that cannot be used refuses the whole file.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from app.erasure.schemas import BulkRow
from app.http.limits import names_a_field_twice
from app.http.problems import (
    FieldError,
    InvalidInput,
    MalformedJson,
    Problem,
    UnsupportedMediaType,
    field_errors,
)

LONGEST_ROW = 64 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
CSV_TYPE = "text/csv"
# The columns of a CSV file. Those with several values have them separated by spaces.
NEEDED = ("external_id", "subject_value", "regulation")
SEVERAL = ("models", "callback_urls")
OPTIONAL = ("subject_type", "subject_format", "legal_ground", "submitted_at", *SEVERAL)

_QUOTE, _COMMA = b'",'
_QUOTED_CELL = re.compile(r'(?:^|(?<=,))"(?:[^"]|"")*+"(?=,|\Z)')
_QUOTE_AFTER_BLANKS = re.compile(r'(?:^|,)[ \t]+"')

# What a row asks for, or why it cannot be used.
Row = BulkRow | Problem


class BadColumns(Problem):
    status = 422
    code = "bad-columns"
    title = "The heading of the file cannot be used"


class RowTooLong(Problem):
    status = 413
    code = "row-too-long"
    title = "A row is too long"


class Reader(Protocol):
    def feed(self, chunk: bytes) -> Iterator[Row]:
        """The rows that this piece of the file completes."""

    def end(self) -> Iterator[Row]:
        """The last row, if no line end came after it."""


def reader_for(content_type: str, content_encoding: str) -> Reader:
    kind, _, parameters = content_type.lower().partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters)
    encoded = content_encoding.strip().lower() not in ("", "identity")
    if not encoded and (charset is None or charset[1] in ("utf-8", "utf8", "us-ascii")):
        if kind.strip() in NDJSON_TYPES:
            return NdjsonReader()
        if kind.strip() == CSV_TYPE:
            return CsvReader()
    accepted = f"{NDJSON_TYPES[0]}, {CSV_TYPE}"
    raise UnsupportedMediaType(
        f"Send {NDJSON_TYPES[0]} or {CSV_TYPE}, in UTF-8 and not compressed.",
        headers={"Accept-Post": accepted},
    )


class NdjsonReader:
    """One JSON object a line, of the form of a single submission."""

    def __init__(self) -> None:
        self._lines = _Records(quoted=False)

    def feed(self, chunk: bytes) -> Iterator[Row]:
        return (_json_row(line) for line in self._lines.feed(chunk))

    def end(self) -> Iterator[Row]:
        return (_json_row(line) for line in self._lines.end())


class CsvReader:
    """RFC 4180. The heading names the columns, in any order."""

    def __init__(self) -> None:
        self._records = _Records(quoted=True)
        self._columns: list[str] | None = None

    def feed(self, chunk: bytes) -> Iterator[Row]:
        return self._rows(self._records.feed(chunk))

    def end(self) -> Iterator[Row]:
        return self._rows(self._records.end())

    def _rows(self, records: Iterator[bytes | None]) -> Iterator[Row]:
        for record in records:
            if self._columns is None:
                self._columns = _columns(record)
            else:
                yield _csv_row(record, self._columns)


class _Records:
    """The records of a stream, without their line ends and without empty ones; None stands for one
    that was too long, of which nothing was kept."""

    def __init__(self, *, quoted: bool) -> None:
        self._quoted = quoted
        self._begun = False
        self._tail = b""
        self._record = b""
        self._inside = self._overlong = False

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        data = self._tail + chunk
        if not self._begun:
            if len(data) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(data):
                self._tail = data
                return
            self._begun = True
            data = data.removeprefix(BYTE_ORDER_MARK)
        *lines, self._tail = data.split(b"\n")
        for line in lines:
            yield from self._line(line)
        if len(self._tail) > LONGEST_ROW:
            self._tail, self._overlong = b"", True

    def end(self) -> Iterator[bytes | None]:
        yield from self._line(self._tail)
        if self._inside:  # a quoted cell that never ended
            yield self._record

    def _line(self, line: bytes) -> Iterator[bytes | None]:
        record = self._record + b"\n" + line if self._inside else line
        if self._overlong or len(record) > LONGEST_ROW:
            # Of a cell in quotes that never ends, reading goes on at the next line.
            self._record, self._inside, self._overlong = b"", False, False
            yield None
            return
        if self._quoted:
            self._inside = _ends_inside(line, self._inside)
        if self._inside:
            self._record = record
            return
        self._record = b""
        if record := record.removesuffix(b"\r"):
            yield record


def _ends_inside(line: bytes, inside: bool) -> bool:
    """Whether a quoted cell is open at the end of the line. A quote opens a cell only where the
    cell begins, and two of them inside one are a quote."""
    if b'"' not in line:
        return inside
    before = _QUOTE if inside else _COMMA
    closed = False
    for here in line:
        if inside:
            inside, closed = here != _QUOTE, here == _QUOTE
        elif here == _QUOTE:
            inside = closed or before == _COMMA
            closed = False
        else:
            closed = False
        before = here
    return inside


def _json_row(line: bytes | None) -> Row:
    if line is None:
        return _too_long()
    try:
        row = BulkRow.model_validate_json(line)
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            return MalformedJson("The row could not be parsed as JSON.")
        return _invalid(error)
    if names_a_field_twice(line):
        return MalformedJson("An object of the row names a field twice.")
    return row


def _csv_row(record: bytes | None, columns: Sequence[str]) -> Row:
    if record is None:
        return _too_long()
    try:
        text = record.decode("utf-8")
        (cells,) = csv.reader([text], strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError):
        return InvalidInput("The row is no CSV in UTF-8.")
    if _quotes_after_blanks(text):
        return InvalidInput("A cell in quotes must begin right after the comma.")
    if len(cells) != len(columns):
        return InvalidInput(f"The row must have {len(columns)} cells, as many as the heading.")
    given: dict[str, Any] = {name: cell for name, cell in zip(columns, cells, strict=True) if cell}
    parts = {"type": "subject_type", "value": "subject_value", "format": "subject_format"}
    subject = {part: given.pop(name) for part, name in parts.items() if name in given}
    several = {name: given[name].split() for name in SEVERAL if name in given}
    try:
        return BulkRow.model_validate({**given, **several, "subjects": [subject]})
    except ValidationError as error:
        return _invalid(error)


def _quotes_after_blanks(text: str) -> bool:
    """The quotes would belong to the value, and name a person whom nobody knows."""
    return '"' in text and _QUOTE_AFTER_BLANKS.search(_QUOTED_CELL.sub("", text)) is not None


def _columns(heading: bytes | None) -> list[str]:
    try:
        (names,) = csv.reader([(heading or b"").decode("utf-8")], strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError):
        raise BadColumns("The heading is no CSV in UTF-8, separated by commas.") from None
    names = [name.strip() for name in names]
    known = (*NEEDED, *OPTIONAL)
    # What the caller wrote is not repeated: it may be a row of a file without a heading.
    faults = [
        FieldError(field=f"column {number}", message="is not known, or stands there twice")
        for number, name in enumerate(names, start=1)
        if name not in known or name in names[: number - 1]
    ]
    faults += [
        FieldError(field=name, message="is required") for name in NEEDED if name not in names
    ]
    if faults:
        raise BadColumns(f"The columns are {', '.join(known)}.", errors=faults)
    return names


def _invalid(error: ValidationError) -> InvalidInput:
    return InvalidInput(
        "One or more fields are missing or not valid.", errors=field_errors(error.errors())
    )


def _too_long() -> RowTooLong:
    return RowTooLong(f"A row may have at most {LONGEST_ROW} bytes.")
