"""`lotus controllers`: the organisations that are responsible, by the hand of whoever holds the
data."""

import re
from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit.kinds import OPERATOR
from app.cli.on_the_data import on_the_data
from app.cli.output import AsJson, Failure, console, print_json, print_rows
from app.erasure import jurisdictions
from app.ids import controller_id
from app.keys import controllers as register
from app.keys import service
from app.keys.tables import Controller

controllers = typer.Typer(
    help="The organisations that are responsible, each with its own data.", no_args_is_help=True
)

LONGEST_NAME = 200

Jurisdiction = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        help="Whose public holidays count for deadlines, in ISO 3166: DE, DE-BE; or none.",
    ),
]


@controllers.command("create")
def controllers_create(
    name: Annotated[str, typer.Argument(help="Unique on this service.")],
    jurisdiction: Jurisdiction = None,
    as_json: AsJson = False,
) -> None:
    """Add a controller. It sees nothing of the others, nor they of it."""
    require_name(name)
    place = _place(jurisdiction)
    with on_the_data() as (runtime, now):
        try:
            with runtime.database.write() as session:
                made = register.add(session, name, jurisdiction=place, actor=OPERATOR, now=now)
        except IntegrityError:
            raise Failure("there is a controller of this name already") from None
    if as_json:
        print_json(_controller(made))
    else:
        console().print(f"controller {controller_id(made.id)}")


@controllers.command("set")
def controllers_set(
    name: Annotated[str, typer.Argument(help="Of the controller.")],
    jurisdiction: Jurisdiction = None,
    as_json: AsJson = False,
) -> None:
    """Change whose public holidays count for a controller's deadlines. Requests that are there
    already keep theirs."""
    if jurisdiction is None:
        raise Failure("nothing to change: give --jurisdiction")
    place = _place(jurisdiction)
    with on_the_data() as (runtime, now), runtime.database.write() as session:
        row = named(session, name, now)
        register.set_jurisdiction(session, row, place, actor=OPERATOR, now=now)
    if as_json:
        print_json(_controller(row))
    else:
        console().print(f"{name}: {_holidays(place)}")


@controllers.command("list")
def controllers_list(as_json: AsJson = False) -> None:
    """Show every controller, oldest first."""
    with on_the_data() as (runtime, _), runtime.database.read() as session:
        rows = session.scalars(select(Controller).order_by(Controller.id)).all()
    if as_json:
        print_json({"items": [_controller(row) for row in rows]})
        return
    print_rows(
        [[controller_id(row.id), row.name, row.jurisdiction or "none"] for row in rows],
        "controller",
        "name",
        "holidays of",
    )


def named(session: Session, name: str, now: datetime) -> Controller:
    """The default one is made when it is first needed. Others are not: a slip of the pen must not
    give somebody a key to an empty service."""
    if name == service.DEFAULT_CONTROLLER:
        return service.ensure_default_controller(session, now)
    found = session.scalar(select(Controller).where(Controller.name == name))
    if found is None:
        raise Failure("no controller has this name: see `lotus controllers list`")
    return found


def require_name(name: str) -> None:
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise Failure(f"a name has 1 to {LONGEST_NAME} characters that can be printed")


def _place(text: str | None) -> str | None:
    """Checked: a place whose holidays nobody knows would give wrong dates without a word."""
    if text is None or text == "none":
        return None
    try:
        if not re.fullmatch(jurisdictions.PATTERN, text):
            raise jurisdictions.UnknownJurisdiction
        jurisdictions.holidays_of(text)
    except jurisdictions.UnknownJurisdiction:
        raise Failure(
            "--jurisdiction takes a country or a part of it in ISO 3166 (DE, DE-BE), or none"
        ) from None
    return text


def _holidays(place: str | None) -> str:
    return f"deadlines reckon with the public holidays of {place}" if place else "no holidays count"


def _controller(row: Controller) -> dict[str, Any]:
    return {
        "id": controller_id(row.id),
        "name": row.name,
        "jurisdiction": row.jurisdiction,
        "created_at": row.created_at,
    }
