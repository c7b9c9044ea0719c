"""`lotus erase` and `lotus status`."""

import sys
from collections.abc import Callable
from itertools import islice
from typing import Annotated, TypeVar

import typer

from app.cli.connection import connect
from app.cli.figures import print_run
from app.cli.following import follow
from app.cli.output import AsJson, Failure, print_json, print_rows
from app.cli.rechecking import print_recheck
from app.cli.requests import due, print_request
from client import Erasure, LotusClient, Recheck, Run, Subject

NEWEST = 20
Shown = TypeVar("Shown", Run, Erasure, Recheck)


def erase(
    subject: Annotated[
        str, typer.Argument(help="The person's identity; - reads it from the standard input.")
    ],
    type: Annotated[
        str, typer.Option(help="Identity type, as the dataset declares it.")
    ] = "controller_customer_id",
    sha256: Annotated[
        bool, typer.Option("--sha256", help="SUBJECT is the SHA-256 of the identity.")
    ] = False,
    regulation: Annotated[str, typer.Option(help="gdpr or ccpa.")] = "gdpr",
    external_id: Annotated[str | None, typer.Option(help="Your own case number.")] = None,
    watch: Annotated[
        bool, typer.Option("--follow", help="Wait for the end; exit 0 only if it completed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask for a person's samples to be unlearned from every model that was trained on them."""
    value = sys.stdin.readline().strip() if subject == "-" else subject
    identity = Subject(value, type, "sha256" if sha256 else "raw")
    with connect() as lotus:
        request: Erasure = lotus.submit_erasure(
            [identity], regulation=regulation, external_id=external_id
        )
        if watch:
            request = follow(lotus, request.id, as_json=as_json)
    if as_json:
        print_json(request.model_dump(mode="json"))
    else:
        print_request(request)
    if watch and request.state != "completed":
        if as_json:
            raise typer.Exit(1)
        raise Failure(f"the request did not complete: it is {request.state}")


def status(
    id: Annotated[
        str | None,
        typer.Argument(help="A request (req_...), a run (run_...) or a re-check (rck_...)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one request, run or re-check or, without ID, the newest requests."""
    with connect() as lotus:
        if id is None:
            _status_of_all(lotus, as_json=as_json)
        elif id.startswith("run_"):
            _show(lotus.get_run(id), print_run, as_json=as_json)
        elif id.startswith("rck_"):
            _show(lotus.get_recheck(id), print_recheck, as_json=as_json)
        else:
            _show(lotus.get_request(id), print_request, as_json=as_json)


def _show(answer: Shown, show: Callable[[Shown], None], *, as_json: bool) -> None:
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        show(answer)


def _status_of_all(lotus: LotusClient, *, as_json: bool) -> None:
    newest = list(islice(lotus.list_requests(limit=NEWEST), NEWEST))
    if as_json:
        print_json({"items": [request.model_dump(mode="json") for request in newest]})
        return
    rows = [
        [one.id, one.state, one.outcome, due(one), one.waits_for.by if one.waits_for else ""]
        for one in newest
    ]
    print_rows(rows, "request", "state", "outcome", "due", "waits for")
