"""Commands that work on the database itself: migrate, keys create."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError, DBAPIError

from app.audit.kinds import OPERATOR
from app.cli.output import AsJson, Failure, console, print_json
from app.config import Settings
from app.ids import api_key_id
from app.keyring import BadKey
from app.keys.scopes import ALL_SCOPES, Scope
from app.keys.service import create_key, ensure_default_controller
from app.migrate import Busy, UnknownRevision, is_current, upgrade
from app.runtime import Runtime

keys = typer.Typer(help="API keys.", no_args_is_help=True)


def read_settings() -> Settings:
    try:
        return Settings()
    except ArgumentError:
        raise Failure("LOTUS_DATABASE_URL is not a database URL") from None
    except ValidationError as error:
        faults = error.errors(include_input=False)
        raise Failure("; ".join(_fault(fault["loc"], fault["msg"]) for fault in faults)) from None


def _fault(where: tuple[int | str, ...], why: str) -> str:
    variable = ".".join(f"LOTUS_{part}".upper() for part in where)
    why = why.removeprefix("Value error, ")
    return f"{variable}: {why}" if variable else why


def open_runtime(*, up_to_date: bool) -> Runtime:
    """The data, ready for use: on a single machine the tables are made on the way.

    In a fleet, one `lotus migrate` comes before all processes, so only its absence is noticed here.
    """
    settings = read_settings()
    try:
        runtime = Runtime.open(settings)
        if up_to_date or settings.is_single_machine:
            upgrade(runtime.database)
        elif not is_current(runtime.database):
            raise Failure("the database is not at this version's tables: run `lotus migrate`")
    except (BadKey, Busy, OSError, UnknownRevision) as error:
        raise Failure(str(error)) from None
    except DBAPIError as error:
        raise Failure(f"the database cannot be used: {error.orig}") from None
    except ArgumentError:
        raise Failure("LOTUS_DATABASE_URL is not a database URL") from None
    return runtime


def migrate(as_json: AsJson = False) -> None:
    """Bring the database to this version's tables."""
    open_runtime(up_to_date=True).close()
    if as_json:
        print_json({"migrated": True})
    else:
        console().print("the database is at this version's tables")


@keys.command("create")
def keys_create(
    name: Annotated[str, typer.Option(help="Who or what will use the key.")],
    scopes: Annotated[
        str, typer.Option(help=f"Comma-separated, or `all`: {', '.join(ALL_SCOPES)}.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown once and cannot be shown again."""
    wanted = _scopes(scopes)
    runtime = open_runtime(up_to_date=False)
    plaintext, key_id = make_key(runtime, name, wanted)
    if as_json:
        print_json({"id": key_id, "name": name, "scopes": wanted, "key": plaintext})
        return
    console().print(f"key {key_id}, shown only now:")
    typer.echo(plaintext)


def make_key(runtime: Runtime, name: str, scopes: list[Scope]) -> tuple[str, str]:
    """The key itself and its id."""
    now = datetime.now(UTC)
    with runtime.database.write() as session:
        controller = ensure_default_controller(session, now)
        row, plaintext = create_key(
            session,
            runtime.keyring,
            controller=controller.id,
            name=name,
            scopes=scopes,
            actor=OPERATOR,
            now=now,
        )
        return plaintext, api_key_id(row.id)


def _scopes(text: str) -> list[Scope]:
    if text == "all":
        return list(ALL_SCOPES)
    try:
        return [Scope(part.strip()) for part in text.split(",")]
    except ValueError:
        raise Failure(f"--scopes takes `all` or some of: {', '.join(ALL_SCOPES)}") from None


def require_data() -> None:
    """A mistyped folder must not pass for a log in which nothing was changed."""
    settings = read_settings()
    if settings.database_url is None and not (settings.data_dir / "lotus.db").is_file():
        raise Failure(f"there is no service data in {settings.data_dir}: see LOTUS_DATA_DIR")
