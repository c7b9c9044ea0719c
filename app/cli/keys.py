"""`lotus keys`: who may call, by the hand of whoever holds the data.

An operator needs no key and may do what no key may: it is the way back when the last is lost.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.kinds import OPERATOR
from app.cli.controllers import named, require_name
from app.cli.on_the_data import on_the_data
from app.cli.output import AsJson, Failure, console, print_json, print_rows
from app.ids import api_key_id
from app.keys import changing, service
from app.keys.scopes import ALL_SCOPES, Scope
from app.keys.tables import ApiKey, Controller
from app.runtime import Runtime

keys = typer.Typer(help="API keys.", no_args_is_help=True)

LONGEST_DAYS = 3650
OVERLAP_HOURS = changing.OVERLAP.total_seconds() / 3600
MOST_HOURS = changing.LONGEST_OVERLAP.total_seconds() / 3600

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Its id (key_...).")]


@keys.command("create")
def keys_create(
    name: Annotated[str, typer.Option(help="Who or what will use the key.")],
    scopes: Annotated[
        str, typer.Option(help=f"Comma-separated, or `all`: {', '.join(ALL_SCOPES)}.")
    ],
    controller: Annotated[
        str, typer.Option(help="Whose data it opens, by name.")
    ] = service.DEFAULT_CONTROLLER,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=LONGEST_DAYS, help="How many days it is valid. Default: no end."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown once and cannot be shown again."""
    wanted = _scopes(scopes)
    require_name(name)
    with on_the_data() as (runtime, _):
        made, plaintext = make_key(runtime, name, wanted, controller=controller, days=days)
    _show_once(made, plaintext, as_json=as_json)


@keys.command("list")
def keys_list(
    controller: Annotated[str | None, typer.Option(help="Only keys of this one, by name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show all keys, oldest first; the keys themselves are not kept."""
    query = select(ApiKey, Controller.name).join(Controller).order_by(ApiKey.id)
    with on_the_data() as (runtime, now), runtime.database.read() as session:
        if controller is not None:
            query = query.where(Controller.id == named(session, controller, now).id)
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
    with on_the_data() as (runtime, now), runtime.database.write() as session:
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
        float,
        typer.Option(min=0, max=MOST_HOURS, help="Hours in which the old key opens as well."),
    ] = OVERLAP_HOURS,
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=LONGEST_DAYS,
            help="How many days the successor is valid. Default: as long as the old key was made "
            "for, and without end if that has none.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a successor with the same name and scopes, shown once; the old key expires."""
    with on_the_data() as (runtime, now), runtime.database.write() as session:
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
            controller=named(session, controller, now).id,
            name=name,
            scopes=scopes,
            actor=OPERATOR,
            now=now,
            expires_at=_in_days(days, now),
        )


def _known(session: Session, identity: str) -> ApiKey:
    prefix, _, digits = identity.partition("_")
    try:
        row = session.get(ApiKey, UUID(hex=digits)) if prefix == "key" else None
    except ValueError:
        row = None
    if row is None:
        raise Failure("no key has this id: see `lotus keys list`")
    return row


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
