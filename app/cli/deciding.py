"""`lotus approve`, `refuse`, `hold`, `resume`, `extend`: what a person decides about a request."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.cli.connection import connect
from app.cli.output import AsJson, Failure, print_json
from app.cli.requests import print_request
from client import Erasure, LotusClient

_FORMS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]

REFUSALS = (
    "freedom_of_expression, legal_obligation, public_health, archiving_or_research, legal_claims "
    "(GDPR Art. 17(3)), manifestly_unfounded (Art. 12(5)) or identity_not_verified (Art. 12(2))"
)

Id = Annotated[str, typer.Argument(help="A request (req_...).")]
Words = Annotated[
    str | None, typer.Option(help="For your own people; name no person in it. Not in the log.")
]


def approve(id: Id, as_json: AsJson = False) -> None:
    """Let a request that awaits approval go on."""
    _tell(lambda lotus: lotus.approve(id), as_json=as_json)


def refuse(
    id: Id,
    reason: Annotated[str, typer.Option(help=f"Why, by law: {REFUSALS}.")],
    note: Words = None,
    as_json: AsJson = False,
) -> None:
    """End a whole request for a legal reason, before anything of it is published."""
    _tell(lambda lotus: lotus.refuse(id, reason, note=note), as_json=as_json)


def hold(
    id: Id,
    reason: Annotated[
        str,
        typer.Option(help="identity_question, restriction, legal_hold or internal_review."),
    ],
    until: Annotated[
        datetime | None,
        typer.Option(formats=_FORMS, help="When to look again, in UTC; it ends nothing by itself."),
    ] = None,
    note: Words = None,
    as_json: AsJson = False,
) -> None:
    """Do nothing for a request until it is resumed."""
    end = until and until.replace(tzinfo=UTC)
    _tell(lambda lotus: lotus.hold(id, reason, until=end, note=note), as_json=as_json)


def resume(id: Id, as_json: AsJson = False) -> None:
    """End a hold."""
    _tell(lambda lotus: lotus.resume(id), as_json=as_json)


def extend(
    id: Id,
    reason: Annotated[str, typer.Option(help="complexity or number_of_requests.")],
    notified: Annotated[
        datetime, typer.Option(formats=_FORMS, help="When the person was told, in UTC.")
    ],
    letter: Annotated[
        Path | None,
        typer.Option(help="The letter: its SHA-256 is sent, and nothing else of it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Extend the deadline, once, in the first period, when the person has been told."""
    digest = _sha256(letter) if letter else None
    told = notified.replace(tzinfo=UTC)
    _tell(
        lambda lotus: lotus.extend(id, reason, notified_at=told, evidence_sha256=digest),
        as_json=as_json,
    )


def _tell(decide: Callable[[LotusClient], Erasure], *, as_json: bool) -> None:
    with connect() as lotus:
        request = decide(lotus)
    if as_json:
        print_json(request.model_dump(mode="json"))
    else:
        print_request(request)


def _sha256(letter: Path) -> str:
    try:
        return hashlib.sha256(letter.read_bytes()).hexdigest()
    except OSError as error:
        raise Failure(f"the letter could not be read: {error.strerror}") from None
