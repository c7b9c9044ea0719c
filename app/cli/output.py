"""What every command prints with: a table for people, one JSON document for programs."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from client import LotusProblem

WIDTH = 100

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


class Failure(Exception):
    """A command cannot do its work; the message is all that the user needs to know."""


# What moves a terminal's cursor, turns the direction of what follows, or cannot be written at all.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Text from elsewhere that cannot do anything to a terminal: `\x1b` is written out.

    The service refuses such names; there may be older ones, and it may be another's service.
    """
    return _UNPRINTABLE.sub(lambda found: f"{ascii(found[0])[1:-1]}", text)


class _Console(Console):
    """Every string that is printed, a cell of a table too, passes through here."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def console(*, stderr: bool = False) -> Console:
    """At most 100 columns; exactly 100 in a pipe, where no terminal says how wide it is."""
    found = _Console(stderr=stderr, highlight=False)
    width = min(WIDTH, found.width) if found.is_terminal else WIDTH
    return _Console(stderr=stderr, highlight=False, width=width)


def print_json(document: object) -> None:
    json.dump(document, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")
    sys.stdout.flush()


def table(*headings: str, title: str | None = None) -> Table:
    """Headings that start with `>` are aligned to the right."""
    made = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        title=title,
        title_justify="left",
        title_style="bold not italic",
    )
    for heading in headings:
        right = heading.startswith(">")
        # Folded, never cut: ids and digests are there to be copied.
        justify: Literal["left", "right"] = "right" if right else "left"
        made.add_column(heading.removeprefix(">"), justify=justify, overflow="fold")
    return made


def plain(value: object) -> str:
    """Text from elsewhere, so that square brackets in it are not taken for markup."""
    return "" if value is None else escape(printable(str(value)))


def print_rows(rows: Sequence[Sequence[object]], *headings: str, title: str | None = None) -> None:
    made = table(*headings, title=title)
    for row in rows:
        made.add_row(*(plain(cell) for cell in row))
    out = console()
    if title is not None:
        out.print()
    out.print(made)


def error_line(error: Exception) -> str:
    if isinstance(error, LotusProblem):
        faults = "; ".join(f"{fault.field}: {fault.message}" for fault in error.errors)
        return f"{error.title} ({error.status}): {error.detail}" + (
            f" [{faults}]" if faults else ""
        )
    return str(error)


def error_document(error: Exception) -> dict[str, Any]:
    if isinstance(error, LotusProblem):
        faults = [{"field": fault.field, "message": fault.message} for fault in error.errors]
        return {
            "type": error.type,
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "errors": faults,
        }
    return {"title": str(error)}


def print_error(error: Exception, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": error_document(error)})
    else:
        line = "error: " + error_line(error).replace("\n", " ")
        console(stderr=True).print(line, markup=False, soft_wrap=True, style="red")


@contextmanager
def progress(*, as_json: bool, sizes: bool = False) -> Iterator[Progress]:
    """Bars on the error output, so that the answer alone is on the standard output."""
    amount = [DownloadColumn()] if sizes else [TextColumn("{task.percentage:>3.0f} %")]
    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), *amount]
    with Progress(
        *columns, TimeElapsedColumn(), console=console(stderr=True), disable=as_json
    ) as bars:
        yield bars


@contextmanager
def waiting(text: str, *, as_json: bool) -> Iterator[None]:
    """A bar without a measure, full once the block has ended well."""
    with progress(as_json=as_json) as bars:
        task = bars.add_task(text, total=None)
        yield
        bars.update(task, total=1, completed=1)
