"""`lotus requests`: many requests at once, as lists and as files, and one as it changes."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from app.cli.connection import connect
from app.cli.output import AsJson, Failure, console, plain, print_json, print_rows, progress
from app.cli.requests import due
from client import BulkAnswer, Erasure

requests = typer.Typer(help="Requests in numbers: lists, files, changes.", no_args_is_help=True)

MOST_SHOWN = 1_000
# Of the rows that were not accepted, as text; `--json` has all of them.
MOST_FAULTS = 20

States = Annotated[list[str] | None, typer.Option("--state", help="Any of these; may be repeated.")]
DueBefore = Annotated[datetime | None, typer.Option(help="Due before this time (UTC).")]
Overdue = Annotated[bool, typer.Option("--overdue", help="Open and late.")]
OfModel = Annotated[str | None, typer.Option(help="With samples in this model (mdl_...).")]
UpdatedSince = Annotated[datetime | None, typer.Option(help="Changed since this time (UTC).")]
OfRegulation = Annotated[str | None, typer.Option(help="gdpr or ccpa.")]


def _wanted(
    state: list[str] | None,
    due_before: datetime | None,
    overdue: bool,
    model: str | None,
    updated_since: datetime | None,
    regulation: str | None,
) -> dict[str, Any]:
    return {
        "state": state or None,
        "due_before": _utc(due_before),
        "overdue": overdue or None,
        "model": model,
        "updated_since": _utc(updated_since),
        "regulation": regulation,
    }


def _utc(given: datetime | None) -> datetime | None:
    return None if given is None else given.replace(tzinfo=UTC)


@requests.command("list")
def list_requests(
    state: States = None,
    due_before: DueBefore = None,
    overdue: Overdue = False,
    model: OfModel = None,
    updated_since: UpdatedSince = None,
    regulation: OfRegulation = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_SHOWN, help="Rows at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest requests that fit, or those that are due first."""
    wanted = _wanted(state, due_before, overdue, model, updated_since, regulation)
    found = []
    with connect() as lotus:
        for one in lotus.list_requests(**wanted, limit=min(limit, 200)):
            found.append(one)
            if len(found) == limit:
                break
    if as_json:
        print_json({"items": [one.model_dump(mode="json") for one in found]})
        return
    rows = [[one.id, one.external_id, one.state, one.outcome, due(one)] for one in found]
    print_rows(rows, "request", "your number", "state", "outcome", "due")


@requests.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(help="A .csv file, or one JSON object a line.", dir_okay=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Submit every row of a file. Each needs an external_id: sending the file again only repeats.
    Exit 0 only if every row is accepted or was before."""
    if not file.is_file():
        raise Failure(f"{file} cannot be read")
    counts: Counter[str] = Counter()
    faults: list[BulkAnswer] = []
    with connect() as lotus, progress(as_json=as_json) as bars:
        task = bars.add_task("rows", total=None)
        for one in lotus.submit_file(file):
            counts[one.status] += 1
            if one.problem is not None:
                faults.append(one)
            bars.update(task, description=f"rows: {counts.total()}")
        bars.update(task, total=1, completed=1)
    if as_json:
        rows = [one.model_dump(mode="json") for one in faults]
        print_json({"rows": counts.total(), "counts": dict(counts), "faults": rows})
        raise typer.Exit(1 if faults else 0)
    said = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    console().print(f"{counts.total()} rows: {said}")
    shown = [[one.row, one.status, _why(one)] for one in faults[:MOST_FAULTS]]
    if faults:
        print_rows(shown, ">row", "status", "why")
        raise Failure(f"{len(faults)} rows were not accepted")


def _why(answer: BulkAnswer) -> str:
    problem = answer.problem or {}
    fields = [f"{one['field']} {one['message']}" for one in problem.get("errors") or []]
    return "; ".join(fields) or str(problem.get("title", ""))


@requests.command("export")
def export_file(
    file: Annotated[Path, typer.Argument(help="Where to write it.", dir_okay=False)],
    form: Annotated[Literal["csv", "ndjson"], typer.Option("--format")] = "csv",
    state: States = None,
    due_before: DueBefore = None,
    overdue: Overdue = False,
    model: OfModel = None,
    updated_since: UpdatedSince = None,
    regulation: OfRegulation = None,
    as_json: AsJson = False,
) -> None:
    """Write every request that fits to a file, which is there only once it is whole."""
    wanted = _wanted(state, due_before, overdue, model, updated_since, regulation)
    with connect() as lotus:
        try:
            rows = lotus.export_file(file, form, **wanted)
        except OSError as error:
            raise Failure(f"{file} cannot be written: {error.strerror}") from None
    if as_json:
        print_json({"file": str(file), "rows": rows})
    else:
        console().print(f"{rows} requests in {plain(file)}", soft_wrap=True)


@requests.command("watch")
def watch(
    id: Annotated[str, typer.Argument(help="A request (req_...).")],
    as_json: AsJson = False,
) -> None:
    """Print a request's changes as they happen, until it has ended or waits for a person."""
    before = None
    with connect() as lotus:
        for now in lotus.follow_request(id):
            line = _line(now)
            if as_json:
                typer.echo(now.model_dump_json())
            elif line != before:
                console().print(line, markup=False)
            before = line
            if now.ended or now.waits_for_person:
                break


def _line(request: Erasure) -> str:
    items = ", ".join(f"{item.model_name} {item.state}" for item in request.items)
    expected = request.expected_completion_at
    when = f"; expected {expected:%Y-%m-%d %H:%M} UTC" if expected else ""
    return f"{request.updated_at:%H:%M:%S}  {request.state}  {items}{when}"
