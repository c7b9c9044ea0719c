"""`lotus controllers` and `lotus keys`: who may call, by the hand of whoever holds the data.

An operator needs no key and may do what no key may: it is the way back when the last is lost.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit.kinds import OPERATOR
from app.cli.on_the_data import open_runtime
from app.cli.output import AsJson, Failure, console, print_json, print_rows
from app.erasure import jurisdictions
from app.http.problems import Problem
from app.ids import api_key_id, controller_id
from app.keys import changing, service
from app.keys.scopes import ALL_SCOPES, Scope
from app.keys.tables import ApiKey, Controller
from app.runtime import Runtime

controllers = typer.Typer(
    help="The organisations that are responsible, each with its own data.", no_args_is_help=True
)
keys = typer.Typer(help="API keys.", no_args_is_help=True)

LONGEST_NAME = 200
OVERLAP_HOURS = changing.OVERLAP.total_seconds() / 3600
MOST_HOURS = changing.LONGEST_OVERLAP.total_seconds() / 3600

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Its id (key_...).")]
Jurisdiction = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        help="Whose public holidays count for deadlines, in ISO 3166: DE, DE-BE; or none.",
    ),
]
Days = Annotated[
    int | None, typer.Option(min=1, max=3650, help="For how many days it is valid. Default: ever.")
]


@controllers.command("create")
def controllers_create(
    name: Annotated[str, typer.Argument(help="Unique on this service.")],
    jurisdiction: Jurisdiction = None,
    as_json: AsJson = False,
) -> None:
    """Add a controller. It sees nothing of the others, nor they of it."""
    _require_name(name)
    place = _place(jurisdiction)
    with _on_the_data() as (runtime, now):
        try:
            with runtime.database.write() as session:
                made = Controller(name=name, jurisdiction=place, created_at=now)
                session.add(made)
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
    with _on_the_data() as (runtime, now), runtime.database.write() as session:
        row = _named(session, name, now)
        row.jurisdiction = place
    if as_json:
        print_json(_controller(row))
    else:
        console().print(f"{name}: {_holidays(place)}")


@controllers.command("list")
def controllers_list(as_json: AsJson = False) -> None:
    """Show every controller, oldest first."""
    with _on_the_data() as (runtime, _), runtime.database.read() as session:
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


@keys.command("create")
def keys_create(
    name: Annotated[str, typer.Option(help="Who or what will use the key.")],
    scopes: Annotated[
        str, typer.Option(help=f"Comma-separated, or `all`: {', '.join(ALL_SCOPES)}.")
    ],
    controller: Annotated[
        str, typer.Option(help="Whose data it opens, by name.")
    ] = service.DEFAULT_CONTROLLER,
    days: Days = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown once and cannot be shown again."""
    wanted = _scopes(scopes)
    _require_name(name)
    with _on_the_data() as (runtime, _):
        made, plaintext = make_key(runtime, name, wanted, controller=controller, days=days)
    _show_once(made, plaintext, as_json=as_json)


@keys.command("list")
def keys_list(
    controller: Annotated[str | None, typer.Option(help="Only keys of this one, by name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show all keys, oldest first; the keys themselves are not kept."""
    query = select(ApiKey, Controller.name).join(Controller).order_by(ApiKey.id)
    with _on_the_data() as (runtime, now), runtime.database.read() as session:
        if controller is not None:
            query = query.where(Controller.id == _named(session, controller, now).id)
        found = session.execute(query).all()
    if as_json:
        print_json({"items": [{**_key(row), "controller": name} for row, name in found]})
        return
    rows = [
        [api_key_id(row.id), name, row.name, _state(row, now), row.prefix, ", ".join(row.scopes)]
        for row, name in found
    ]
    print_rows(rows, "key", "controller", "name", "state", "begins with", "scopes")


@keys.command("revoke")
def keys_revoke(key: KeyArgument, as_json: AsJson = False) -> None:
    """End a key at once, even the last one that could manage keys."""
    with _on_the_data() as (runtime, now), runtime.database.write() as session:
        row = _known(session, key)
        changing.revoke(
            session, row.id, controller=row.controller_id, actor=OPERATOR, now=now, last=True
        )
    if as_json:
        print_json(_key(row))
    else:
        console().print(f"key {api_key_id(row.id)} opens nothing any more")


@keys.command("rotate")
def keys_rotate(
    key: KeyArgument,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=MOST_HOURS, help="How long the old key stays valid.")
    ] = OVERLAP_HOURS,
    days: Days = None,
    as_json: AsJson = False,
) -> None:
    """Make a successor with the same name and scopes, shown once; the old key expires."""
    with _on_the_data() as (runtime, now), runtime.database.write() as session:
        row = _known(session, key)
        made, plaintext = changing.rotate(
            session,
            runtime.keyring,
            row.id,
            controller=row.controller_id,
            held=ALL_SCOPES,
            overlap=timedelta(hours=overlap_hours),
            actor=OPERATOR,
            now=now,
            expires_at=_in_days(days, now),
        )
    _show_once(made, plaintext, as_json=as_json)


def make_key(
    runtime: Runtime,
    name: str,
    scopes: list[Scope],
    *,
    controller: str = service.DEFAULT_CONTROLLER,
    days: int | None = None,
) -> tuple[ApiKey, str]:
    """The row and the key itself."""
    now = datetime.now(UTC)
    with runtime.database.write() as session:
        return service.create_key(
            session,
            runtime.keyring,
            controller=_named(session, controller, now).id,
            name=name,
            scopes=scopes,
            actor=OPERATOR,
            now=now,
            expires_at=_in_days(days, now),
        )


@contextmanager
def _on_the_data() -> Iterator[tuple[Runtime, datetime]]:
    """The data and the time; what the service would answer as a problem is one line here."""
    runtime = open_runtime(up_to_date=False)
    try:
        yield runtime, datetime.now(UTC)
    except Problem as problem:
        raise Failure(f"{problem.title}: {problem.detail}") from None
    finally:
        runtime.close()


def _named(session: Session, name: str, now: datetime) -> Controller:
    """The default one is made when it is first needed. Others are not: a slip of the pen must not
    give somebody a key to an empty service."""
    if name == service.DEFAULT_CONTROLLER:
        return service.ensure_default_controller(session, now)
    found = session.scalar(select(Controller).where(Controller.name == name))
    if found is None:
        raise Failure("no controller has this name: see `lotus controllers list`")
    return found


def _known(session: Session, identity: str) -> ApiKey:
    prefix, _, digits = identity.partition("_")
    try:
        row = session.get(ApiKey, UUID(hex=digits)) if prefix == "key" else None
    except ValueError:
        row = None
    if row is None:
        raise Failure("no key has this id: see `lotus keys list`")
    return row


def _require_name(name: str) -> None:
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


def _in_days(days: int | None, now: datetime) -> datetime | None:
    return None if days is None else now + timedelta(days=days)


def _scopes(text: str) -> list[Scope]:
    if text == "all":
        return list(ALL_SCOPES)
    try:
        return [Scope(part.strip()) for part in text.split(",")]
    except ValueError:
        raise Failure(f"--scopes takes `all` or some of: {', '.join(ALL_SCOPES)}") from None


def _show_once(row: ApiKey, plaintext: str, *, as_json: bool) -> None:
    if as_json:
        print_json({**_key(row), "key": plaintext})
        return
    console().print(f"key {api_key_id(row.id)}, shown only now:")
    typer.echo(plaintext)


def _state(row: ApiKey, now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at is None:
        return "valid"
    day = f"{row.expires_at:%Y-%m-%d}"
    return f"valid until {day}" if row.expires_at > now else f"expired {day}"


def _controller(row: Controller) -> dict[str, Any]:
    return {
        "id": controller_id(row.id),
        "name": row.name,
        "jurisdiction": row.jurisdiction,
        "created_at": row.created_at,
    }


def _key(row: ApiKey) -> dict[str, Any]:
    return {
        "id": api_key_id(row.id),
        "name": row.name,
        "prefix": row.prefix,
        "scopes": row.scopes,
        "succeeds": api_key_id(row.succeeds_id) if row.succeeds_id else None,
        "made_by": api_key_id(row.made_by_id) if row.made_by_id else None,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "last_used_at": row.last_used_at,
    }
